from bot.slack.views import tables
from bot.slack.views.tables import Column


def test_a_table_is_cut_in_width_before_a_row_is_left_out():
    columns = [Column("pid", (10,)), Column("query", (80, 50)), Column("host", (63, 0))]
    small = tables.fit(columns, [["1", "q" * 90, None]])
    assert small.cells == (("pid", "query", "host"), ("1", "q" * 79 + "…", " "))
    wide = tables.fit(columns, [["1", "q" * 90, "h" * 70]] * 99)
    assert wide.shown == 99
    assert wide.cells[0] == ("pid", "query")
    assert wide.cells[99] == ("1", "q" * 49 + "…")


def test_rows_that_do_not_fit_are_counted():
    fitted = tables.fit([Column("query", (200,))], [["q" * 200]] * 99)
    assert fitted.shown == 47
    assert len(fitted.cells) == 48
    assert tables.fit([Column("pid")], [["1"]] * 120).shown == 99
    assert tables.fit([Column("pid")], [["1"]] * 30, most=19).shown == 19
