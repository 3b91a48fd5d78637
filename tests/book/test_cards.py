"""Tables that a phone shows as cards."""

from normext.cards import WIDE, card

TABLE = (
    '<div class="pst-scrollable-table-container"><table class="table">'
    "<thead><tr><th>a <em>b</em></th>{more}</tr></thead>"
    "<tbody><tr><td>1 &lt; 2</td><td>x</td>{cell}</tr></tbody></table></div>"
)


def test_every_cell_is_told_its_column_and_every_part_its_role():
    shown = WIDE.sub(card, TABLE.format(more="<th>c</th><th>d</th>", cell="<td>y</td>"))
    assert '<table class="table nc-cards" role="table">' in shown
    assert shown.count('role="row"') == 2 and shown.count('role="columnheader"') == 3
    assert '<td data-nc-name="a b" role="cell">1 &lt; 2</td>' in shown and 'data-nc-name="d"' in shown


def test_a_narrow_table_and_what_is_no_table_of_words_stay_as_they_are():
    for text in (TABLE.format(more="<th>c</th>", cell=""), "<table><tr><td>1</td></tr></table>"):
        assert WIDE.sub(card, text) == text
