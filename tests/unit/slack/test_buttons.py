import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.instants import from_us
from bot.domain.sessions import BackendId
from bot.slack.buttons import ActionId, OlderThan, OutcomePage, PageOf, RowRef, kill_key
from tests.unit.builders import KEY

ids = st.integers(0, 2**63 - 1)
digits = st.text("0123456789abcdef", min_size=32, max_size=32)
keys = st.builds("{}-{}".format, digits, digits)
instants = st.integers(0, 250_000_000_000_000_000).map(from_us)
backends = st.builds(BackendId, st.integers(0, 2**31 - 1), instants)


@given(
    st.one_of(
        st.builds(PageOf, st.text(), st.integers(0, 2**31 - 1)),
        st.builds(RowRef, st.text(min_size=1), backends),
        st.builds(OutcomePage, keys, st.integers(0, 99)),
        st.builds(OlderThan, st.text(), ids),
    )
)
def test_button_values_round_trip(carried):
    assert type(carried).decode(carried.encode()) == carried


@given(st.text())
def test_any_value_is_read_or_refused_as_a_value_error(value):
    for decode in (PageOf.decode, RowRef.decode, OutcomePage.decode, OlderThan.decode, kill_key):
        try:
            decode(value)
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("decode", "value"),
    [
        (kill_key, ""),
        (kill_key, "-"),
        (kill_key, "41"),  # a button from before kills had keys
        (kill_key, KEY.upper()),
        (kill_key, KEY[:-1]),
        (kill_key, f" {KEY}"),
        (kill_key, f"{KEY}\n"),
        (kill_key, KEY.replace("-", "")),
        (kill_key, KEY.replace("3", "٣")),
        (PageOf.decode, "20"),
        (PageOf.decode, "x some_db"),
        (PageOf.decode, f"{2**31} some_db"),
        (RowRef.decode, "main|1"),
        (RowRef.decode, "|1|2"),
        (RowRef.decode, "main|-1|2"),
        (RowRef.decode, f"main|{2**31}|2"),
        (RowRef.decode, f"main|1|{2**63 - 1}"),
        (OutcomePage.decode, KEY),
        (OutcomePage.decode, "41 0"),
        (OutcomePage.decode, f"{KEY} 100"),
        (OutcomePage.decode, f"{KEY} 01"),
        (OutcomePage.decode, f"{KEY} +1"),
        (OutcomePage.decode, f"{KEY} 0 0"),
        (OlderThan.decode, "41"),
        (OlderThan.decode, "x history"),
        (OlderThan.decode, "01 history"),
        (OlderThan.decode, "1_000 history"),
        (OlderThan.decode, "٣ history"),
        (OlderThan.decode, f"{2**63} history"),
    ],
)
def test_foreign_button_value_is_refused(decode, value):
    with pytest.raises(ValueError):
        decode(value)


def test_only_plain_and_numbered_ids_are_known():
    assert ActionId.of("sessions.choose") is ActionId.SESSIONS_CHOOSE
    assert ActionId.of(ActionId.SESSIONS_CHOOSE.numbered(3)) is ActionId.SESSIONS_CHOOSE
    for other in (
        *("sessions.chooser", "sessions.choose.", "sessionsxchoose", "a.sessions.choose"),
        *("sessions.choose\n", "sessions.choose.٣", "sessions.choose.1.2"),
    ):
        assert ActionId.of(other) is None


def test_no_id_is_taken_for_another():
    for one in ActionId:
        assert ActionId.of(one) is ActionId.of(one.numbered(12)) is one
