// CodeMirror, as much of it as a cell needs. In a shadow root its styles are constructed sheets, which no policy forbids.
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { python } from "@codemirror/lang-python";
import { HighlightStyle, bracketMatching, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { EditorView, keymap, lineNumbers } from "@codemirror/view";
import { tags as t } from "@lezer/highlight";

// the colors of the page's programs (runner.css)
const color = (tag, name) => ({ tag, color: `var(--nc-${name})` });
const colors = HighlightStyle.define([
  color([t.keyword, t.operatorKeyword], "keyword"),
  color([t.string, t.special(t.string)], "string"),
  color([t.number, t.bool, t.null], "number"),
  color(t.comment, "comment"),
  color(t.function(t.definition(t.variableName)), "name"),
]);
const look = EditorView.theme({
  "&": { color: "var(--pst-color-text-base)", backgroundColor: "var(--pst-color-surface)", fontSize: "var(--nc-size)" },
  "&.cm-focused": { outline: "3px solid var(--pst-color-link)" },
  ".cm-content": { caretColor: "var(--pst-color-text-base)" },
  ".cm-cursor": { borderLeftColor: "var(--pst-color-text-base)" },
  ".cm-scroller": { fontFamily: "var(--pst-font-family-monospace)", lineHeight: "1.5" },
  ".cm-gutters": { backgroundColor: "var(--pst-color-surface)", border: "none", color: "var(--pst-color-text-muted)" },
  ".cm-selectionBackground, &.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground": {
    background: "color-mix(in srgb, var(--pst-color-link) 30%, transparent)",
  },
});

export function edit(place, doc, label, run) {
  const root = place.attachShadow({ mode: "open" });
  place.addEventListener("keydown", (event) => event.stopPropagation()); // the page has keys of its own
  const go = () => (run(), true);
  // Firefox may leave what is selected when somebody types over it (from a word's first letter to the end of its line).
  const over = ({ inputType, data }, view) => {
    if (inputType !== "insertText" || !data || view.state.selection.main.empty) return false;
    view.dispatch(view.state.replaceSelection(data), { userEvent: "input.type", scrollIntoView: true });
    return true;
  };
  return new EditorView({
    doc,
    parent: root,
    root,
    extensions: [
      EditorView.domEventHandlers({ beforeinput: over }),
      keymap.of([{ key: "Shift-Enter", run: go }, { key: "Mod-Enter", run: go }, indentWithTab]),
      keymap.of([...defaultKeymap, ...historyKeymap]),
      lineNumbers(),
      history(),
      bracketMatching(),
      indentUnit.of("    "),
      python(),
      matchMedia("(max-width: 40rem)").matches ? EditorView.lineWrapping : [], // on a phone twenty letters are a line
      syntaxHighlighting(colors),
      look,
      EditorView.contentAttributes.of({ "aria-label": label }),
    ],
  });
}
