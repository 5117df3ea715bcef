import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.backends import BackendId
from bot.instants import from_us
from bot.slack.views.actions import ActionId, OlderThan, OutcomePage, PageOf, RowRef, proposal_id

ids = st.integers(0, 2**63 - 1)
instants = st.integers(0, 250_000_000_000_000_000).map(from_us)
backends = st.builds(BackendId, st.integers(0, 2**31 - 1), instants)


@given(
    st.one_of(
        st.builds(PageOf, st.text(), st.integers(0, 2**31 - 1)),
        st.builds(RowRef, st.text(min_size=1), backends),
        st.builds(OutcomePage, ids, st.integers(0, 99)),
        st.builds(OlderThan, st.text(), ids),
    )
)
def test_what_a_button_carries_reads_as_what_it_was(carried):
    assert type(carried).decode(carried.encode()) == carried


@given(st.text())
def test_any_value_is_read_or_refused_as_a_value_error(value):
    for decode in (PageOf.decode, RowRef.decode, OutcomePage.decode, OlderThan.decode, proposal_id):
        try:
            decode(value)
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("decode", "value"),
    [
        (proposal_id, ""),
        (proposal_id, "-1"),
        (proposal_id, "+1"),
        (proposal_id, "1_000"),
        (proposal_id, " 1"),
        (proposal_id, "01"),
        (proposal_id, "٣"),
        (proposal_id, str(2**63)),
        (PageOf.decode, "20"),
        (PageOf.decode, "x some_db"),
        (PageOf.decode, f"{2**31} some_db"),
        (RowRef.decode, "main|1"),
        (RowRef.decode, "|1|2"),
        (RowRef.decode, "main|-1|2"),
        (RowRef.decode, f"main|{2**31}|2"),
        (RowRef.decode, f"main|1|{2**63 - 1}"),
        (OutcomePage.decode, "41"),
        (OutcomePage.decode, "41 100"),
        (OutcomePage.decode, "41 0 0"),
        (OlderThan.decode, "41"),
        (OlderThan.decode, "x history"),
    ],
)
def test_a_value_that_no_button_of_ours_carries_is_refused(decode, value):
    with pytest.raises(ValueError):
        decode(value)


def test_a_pattern_takes_the_plain_and_the_numbered_id_and_no_other():
    pattern = ActionId.SESSIONS_CHOOSE.pattern
    assert pattern.match("sessions.choose")
    assert pattern.match(ActionId.SESSIONS_CHOOSE.numbered(3))
    for other in (
        *("sessions.chooser", "sessions.choose.", "sessionsxchoose", "a.sessions.choose"),
        *("sessions.choose\n", "sessions.choose.٣", "sessions.choose.1.2"),
    ):
        assert not pattern.search(other)


def test_no_id_is_another_ones_pattern():
    for one in ActionId:
        assert [other for other in ActionId if one.pattern.match(other)] == [one]
