// Answer boxes: exercises that are answered and checked in the page. Answers stay in this browser; nothing is sent.
(() => {
  "use strict";

  const { counts, page: here } = document.currentScript.dataset;
  const runner = window.normcorePython; // of runner.js, which came before
  const PREFIX = "normcore answer ";

  // ---- what is kept: for each box {source, right, told}; what the browser does not store, until the page is left

  // Whatever stands in the store, by whomever it was written.
  function sound(value) {
    const { source, right, told } = Object(value);
    return {
      ...(typeof source === "string" && { source }),
      ...(right === true && { right }),
      ...(Array.isArray(told) && { told }),
    };
  }

  const kept = {
    memory: new Map(), // what could not be stored
    get(key) {
      if (this.memory.has(key)) return this.memory.get(key);
      try {
        return sound(JSON.parse(localStorage.getItem(PREFIX + key)));
      } catch {
        return {};
      }
    },
    set(key, value) {
      try {
        if (!(localStorage instanceof Storage)) throw new Error("a stand-in"); // of mode.js
        localStorage.setItem(PREFIX + key, JSON.stringify(value));
        this.memory.delete(key);
      } catch {
        this.memory.set(key, value);
      }
      return !this.memory.has(key);
    },
    remove(key) {
      this.memory.delete(key);
      try {
        localStorage.removeItem(PREFIX + key);
      } catch {}
    },
    keys() {
      let stored = [];
      try {
        stored = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX)).map((key) => key.slice(PREFIX.length));
      } catch {}
      return [...new Set([...stored, ...this.memory.keys()])];
    },
  };

  // ---- the progress, in the contents

  let labels; // of the exercises of each page
  async function progress() {
    if (!labels && kept.keys().length) labels = await fetch(counts).then((reply) => reply.json()).catch(() => undefined);
    if (!labels) return;
    const keys = kept.keys();
    const root = new URL("../", new URL(counts, location.href));
    for (const link of document.querySelectorAll(".bd-sidebar-primary .bd-links a")) {
      const doc = Object.keys(labels).find((name) => new URL(`${name}.html`, root).href === link.href.replace(/#.*/, ""));
      if (!doc) continue;
      const all = labels[doc];
      const right = all.filter((label) => kept.get(`${doc}#${label}`).right).length;
      const mark = link.querySelector(".nc-progress") ?? link.appendChild(Object.assign(document.createElement("span"), { className: "nc-progress" }));
      mark.hidden = !right;
      mark.textContent = `${right}/${all.length}`;
      mark.title = `${right} of ${all.length} exercises solved`;
      mark.setAttribute("aria-label", mark.title);
      mark.setAttribute("role", "img");
    }
    const contents = document.querySelector(".bd-sidebar-primary .bd-links");
    let clear = document.querySelector(".nc-forget");
    if (!clear && contents) {
      clear = Object.assign(document.createElement("button"), { type: "button", className: "nc-forget" });
      clear.onclick = () => {
        if (!confirm("Clear all answers that are kept in this browser?")) return;
        kept.keys().forEach((key) => kept.remove(key));
        boxes.forEach((box) => box.forget());
        progress();
      };
      contents.append(clear);
    }
    if (clear) {
      clear.hidden = !keys.length;
      clear.textContent = keys.length === 1 ? "Clear my answer" : `Clear my ${keys.length} answers`;
    }
  }

  // ---- the boxes

  const boxes = [];
  if (runner) {
    const { Box, ask, ready, stop } = runner;
    const LOST = "This browser keeps nothing: the answer is gone when you leave the page.";

    class Answer extends Box {
      constructor(place) {
        const exercise = place.closest(".exercise");
        super(place, exercise.querySelector(".admonition-title").textContent.trim(), {
          open: "Answer here", go: "Check", back: "Start over", keys: "Shift+Enter checks the answer. Escape, then Tab, leaves the editor.",
        });
        this.label = place.dataset.answer;
        this.key = `${here}#${this.label}`;
        this.solution = exercise.nextElementSibling?.matches("details.solution") ? exercise.nextElementSibling : undefined;
        this.help = this.button("Hint", () => this.hint());
        this.help.hidden = true;
        this.back.after(this.help);
        this.recall();
      }

      // What is kept of this box.
      get own() {
        return kept.get(this.key);
      }

      keep(change) {
        this.lost = !kept.set(this.key, { ...this.own, ...change });
        if (change.source !== undefined) this.saved = change.source;
        progress();
      }

      recall() {
        const { source, right } = this.own;
        this.cell.classList.toggle("nc-solved", Boolean(right));
        this.open.textContent = right ? "Solved: look again" : source === undefined ? this.words.open : "Go on with your answer";
        this.open.setAttribute("aria-label", `${this.open.textContent}: ${this.name}`);
      }

      forget() {
        this.write(this.box?.starter);
        this.saved = this.box?.starter;
        this.undo();
        this.say("");
        this.output.replaceChildren();
        this.recall();
        this.offer();
      }

      // What was written the last time, or the starter.
      beginning(page) {
        this.box = page.answers.find((one) => one.label === this.label);
        return (this.saved = this.own.source ?? this.box.starter);
      }

      // Another tab has kept something; the text here follows, unless somebody has changed it since it was kept.
      elsewhere() {
        this.recall();
        if (!this.view || this.running || this.own.source === undefined || this.own.source === this.saved) return;
        if (this.source !== this.saved) return this.say("Another tab keeps an answer to this, too. The one that is written last stays.");
        this.saved = this.own.source;
        this.write(this.saved);
        this.say("Here is what you wrote in another tab.");
      }

      async edit() {
        await super.edit();
        if (!this.view || this.watched) return;
        this.watched = true;
        const save = () => {
          if (this.source === this.saved) return;
          this.keep({ source: this.source });
          if (this.lost) this.say(LOST);
        };
        this.view.contentDOM.addEventListener("blur", save);
        addEventListener("pagehide", save);
        this.offer();
        if (this.own.right) this.conclude("right", "You have solved this one.");
      }

      // The button for help: hints first, one at a time, then the solution.
      offer() {
        const left = this.box?.mistakes.filter(([hint]) => !this.own.told?.includes(hint)).length;
        const text = left ? "Hint" : "Solution";
        this.help.hidden = !this.view || !(left || this.solution);
        this.help.textContent = text;
        this.help.setAttribute("aria-label", `${text}: ${this.name}`);
      }

      tell(hint) {
        const told = this.own.told ?? [];
        if (!told.includes(hint) && this.box.mistakes.some(([one]) => one === hint)) this.keep({ source: this.source, told: [...told, hint] });
        this.offer();
      }

      hint() {
        const next = this.box.mistakes.find(([hint]) => !this.own.told?.includes(hint));
        if (next) {
          this.conclude("hint", `One of the mistakes that are made here: ${next[0]}`);
          return this.tell(next[0]);
        }
        this.solution.open = true;
        this.solution.querySelector("summary").focus({ preventScroll: true });
        this.solution.scrollIntoView({ block: "start" });
      }

      write(text) {
        if (this.view && text !== undefined) this.view.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert: text } });
      }

      // The beginning again, and with the same button what was written.
      reset() {
        stop(this.teller);
        const before = { ...this.own, source: this.source };
        const back = this.undone;
        kept.remove(this.key);
        this.forget();
        if (back) {
          this.keep(back);
          this.write(back.source);
          this.recall();
          this.offer();
          this.say("Here is your answer again.");
        } else {
          this.undo(before);
          this.say("The beginning again. Bring back undoes that.");
        }
        progress();
      }

      // What "Start over" took away, as long as it can be brought back.
      undo(before) {
        this.undone = before;
        this.back.textContent = before ? "Bring back" : this.words.back;
        this.back.setAttribute("aria-label", `${this.back.textContent}: ${this.name}`);
      }

      say(text) {
        super.say(text);
        this.teller.status.className = "nc-status";
      }

      conclude(kind, text) {
        this.say(this.lost ? `${text} ${LOST}` : text);
        this.teller.status.className = `nc-status nc-${kind}`;
      }

      async through() {
        this.keep({ source: this.source });
        this.undo();
        this.output.replaceChildren();
        let result = await ready(this.page, this.teller);
        if (!result.ended) {
          this.say("Checking");
          const { cells } = this.page;
          const { asked, check, mistakes, above } = this.box;
          const box = { source: this.source, asked, check, mistakes, above: above.map((index) => cells[index].source) };
          result = await this.long(ask({ ask: "check", box }, (kind, text) => this.put(kind, text)));
        }
        const { ended, says, hint, right } = result;
        if (ended) return this.say(ended);
        if (right) {
          this.keep({ right });
          this.cell.classList.add("nc-solved");
          return this.conclude("right", "Right.");
        }
        if (says) this.fail(result);
        this.conclude("hint", says ? `Not yet. ${says}` : `Not yet. ${hint}`);
        if (hint) this.tell(hint);
      }
    }

    for (const place of document.querySelectorAll(".nc-answer")) boxes.push(new Answer(place));
    addEventListener("storage", ({ key }) => {
      if (key !== null && !key.startsWith(PREFIX)) return;
      for (const box of boxes) if (key === null || key === PREFIX + box.key) box.elsewhere();
      progress();
    });
  }
  progress();
})();
