// Code cells that can be edited and run where they stand. Until the first click nothing is fetched but this file.
(() => {
  "use strict";

  const script = document.currentScript;
  const home = new URL(".", script.src).href; // _static/
  const list = script.dataset.cells;
  if (!list || location.protocol === "file:") return; // a page that was opened from a folder cannot start a worker

  const STOPPED = "Stopped. All variables of this page are gone; the next run starts Python anew, with the cells above.";
  const SAY = {
    wasm: "Python cannot start: WebAssembly is switched off in this window. Try an ordinary window, or download the notebook.",
    policy: "Python cannot start: this site's server forbids WebAssembly ('wasm-unsafe-eval' is missing in its policy).",
    start: "Python did not start in this browser. Reload the page to try again, or download the notebook.",
    lost: "The download broke off. Check the connection, then run the cell again: what has arrived need not come twice.",
    memory: "Python ran out of memory and ended; all variables are gone. Make the arrays smaller, then run the cell again.",
    ended: "Python ended in the middle of the cell; all variables are gone. The next run starts it anew.",
    left: "Taken back before it began; what runs goes on.",
    editor: "The editor did not arrive. Check the connection, then click again.",
    torch: "This cell needs PyTorch, which does not run in a page. It runs on your computer, on Binder and on Colab.",
  };

  const once = (make) => {
    let made;
    return () => (made ??= make().catch((error) => ((made = undefined), Promise.reject(error))));
  };
  const getPage = once(async () => {
    const reply = await fetch(list);
    if (!reply.ok) throw new Error(reply.status);
    return reply.json();
  });
  let tries = 0; // a browser remembers a module that did not arrive, by its address
  const getEditor = once(() => import(`${home}vendor/editor.js${tries++ ? `?again=${tries}` : ""}`));
  const MB = (bytes) => (bytes / 1e6).toFixed(1);

  function element(name, attributes = {}, ...children) {
    const made = Object.assign(document.createElement(name), attributes);
    made.append(...children);
    return made;
  }

  // ---- one Python for the page; a stop ends it, and the next run starts another

  const python = {
    ran: new Map(), // number of a cell: the source that this Python has run
    waiting: new Map(),
    number: 0,
    arrived: 0,
    onload() {},

    start(page) {
      if (this.worker) return this.started;
      if (typeof WebAssembly !== "object") return Promise.resolve({ ended: SAY.wasm });
      const worker = (this.worker = new Worker(`${home}runner-worker.js`, { type: "module" }));
      this.arrived = 0;
      // an error without words: the worker's own file did not arrive
      worker.onerror = (event) => (event.preventDefault(), this.end({ ended: event.message ? SAY.start : SAY.lost }));
      worker.onmessage = ({ data: { id, answer, kind, text, arrived, lost } }) => {
        if (worker !== this.worker) return;
        if (lost !== undefined) this.end({ ended: SAY.lost });
        else if (arrived) this.onload((this.arrived += arrived), page.raw);
        else if (answer) this.answered(id, answer);
        else this.waiting.get(id)?.show?.(kind, text);
      };
      this.started = this.ask({ ask: "start", home, packages: page.packages, data: page.data }).then((answer) => {
        this.up = !answer.ended;
        return answer;
      });
      return this.started;
    },

    ask(message, show) {
      return new Promise((done) => {
        this.waiting.set(++this.number, { done, show });
        this.worker.postMessage({ id: this.number, ...message });
      });
    },

    answered(id, answer) {
      if (answer.ended) {
        const why = answer.ended;
        const memory = /memory|allocat|stack/i.test(why);
        return this.end({ ended: /unsafe-eval|Content.Security|CSP/i.test(why) ? SAY.policy : !this.up ? SAY.start : memory ? SAY.memory : SAY.ended });
      }
      this.waiting.get(id)?.done(answer);
      this.waiting.delete(id);
    },

    end(answer) {
      this.worker?.terminate();
      this.worker = undefined;
      this.up = false;
      this.ran.clear();
      const waiting = [...this.waiting.values()];
      this.waiting.clear();
      for (const { done } of waiting) done(answer);
      for (const leave of this.leavers) leave(answer);
      this.leavers.clear();
    },
    leavers: new Set(), // to be told, once, when it ends
  };

  // ---- what somebody who waits is told

  class Teller {
    constructor() {
      this.bar = element("progress", { hidden: true });
      this.bar.setAttribute("aria-label", "Download of Python");
      this.amount = element("span", { className: "nc-amount" });
      this.amount.setAttribute("aria-hidden", "true");
      this.status = element("span", { className: "nc-status" });
      this.status.setAttribute("role", "status");
      this.parts = [this.bar, this.amount, this.status];
    }

    say(text) {
      this.status.textContent = text;
    }

    arrived(part, wire) {
      [this.bar.hidden, this.bar.value] = [false, part];
      this.amount.textContent = part < 1 ? `${MB(part * wire)} of ${MB(wire)} MB` : "starting";
    }

    rest() {
      [this.bar.hidden, this.amount.textContent] = [true, ""];
    }
  }

  // ---- the cells

  const boxes = new Map(); // number of a cell: its box
  const sourceOf = (page, index) => boxes.get(index)?.source ?? page.cells[index].source;

  // One after the other. Each is known by its teller: while it waits Stop takes it out of the queue, later Stop ends Python.
  let queue = Promise.resolve();
  const turns = new Map();

  function inTurn(teller, job) {
    const turn = {};
    const go = () => turns.get(teller) === turn && ((turn.begun = true), job());
    const left = new Promise((done) => (turn.leave = done));
    turns.set(teller, turn);
    queue = queue.then(go, go);
    return Promise.race([queue, left]).finally(() => turns.get(teller) === turn && turns.delete(teller));
  }

  function stop(teller) {
    const turn = turns.get(teller);
    if (turn?.begun) return python.end({ ended: STOPPED });
    turns.delete(teller);
    turn?.leave({ ended: SAY.left });
  }

  // Start Python, if it is not there, and tell how its download goes on.  Returns {}, or {ended} if that failed.
  async function ready(page, teller) {
    const { raw, wire } = page;
    teller.say(python.up ? "Running" : `Python comes first: ${MB(wire)} MB, once`);
    let last = performance.now();
    python.onload = (now) => {
      last = performance.now();
      teller.arrived(Math.min(1, now / raw), wire);
    };
    const patience = setInterval(() => {
      if (performance.now() - last > 20000) teller.say("Nothing has arrived for 20 seconds. Wait, or Stop and run again.");
    }, 5000);
    const result = await python.start(page);
    clearInterval(patience);
    python.onload = () => {};
    teller.rest();
    return result;
  }

  // Run what a cell stands on: first the cells above that this Python has not run as they stand now, and all after the
  // first of them; not those alone that draw a picture of their own and that nothing below needs.  Returns {ended} or {says} if that failed, and how many there were.
  async function prepare(page, index, teller) {
    const { cells } = page;
    let result = await ready(page, teller);
    const above = [...cells.keys()].filter((one) => one < index && !cells[one].skip && !cells[one].alone);
    const stale = above.findIndex((one) => python.ran.get(one) !== sourceOf(page, one));
    const todo = stale < 0 ? [] : above.slice(stale);
    for (const [n, one] of todo.entries()) {
      if (result.ended || result.says) break;
      teller.say(`Running the cells above first: ${n + 1} of ${todo.length}`);
      result = await runCell(page, one);
      if (result.says) result.says = `Above, in ${cells[one].name}: ${result.says}`;
    }
    return { ...result, above: todo.length };
  }

  // Run one cell as it stands; what it shows goes to its own box if that is open, or else to `show(kind, text)`.
  async function runCell(page, index, show) {
    const source = sourceOf(page, index);
    const box = show || !boxes.get(index)?.view ? undefined : boxes.get(index);
    python.ran.delete(index);
    box?.clear();
    const result = await python.ask(
      { ask: "run", source, name: page.cells[index].name },
      show ?? ((kind, text) => box?.put(kind, text)),
    );
    if (result.says || result.ended) box?.fail(result);
    else python.ran.set(index, source);
    return result;
  }

  // A place to write code in, with its buttons; `words` are theirs. An answer box (answers.js) is one, too.
  class Box {
    words = { open: "Edit and run", go: "Run", back: "Reset", keys: "Shift+Enter runs the cell. Escape, then Tab, leaves the editor." };

    constructor(cell, name, words) {
      this.cell = cell;
      this.name = name;
      this.words = { ...this.words, ...words };
      this.open = this.button(this.words.open, () => this.edit());
      this.go = this.button(this.words.go, () => this.run());
      this.halt = this.button("Stop", () => stop(this.teller));
      this.back = this.button(this.words.back, () => this.reset());
      this.teller = new Teller();
      this.place = element("div", { className: "nc-editor" });
      this.output = element("div", { className: "nc-output cell_output docutils container" });
      const parts = [this.place, element("div", { className: "nc-tools" }, this.open, this.go, this.halt, this.back, ...this.teller.parts), this.output];
      const anchor = cell.querySelector(":scope > details.above-input, :scope > .cell_input");
      if (anchor) anchor.after(...parts);
      else cell.append(...parts);
      this.show(false);
    }

    button(textContent, onclick) {
      const made = element("button", { type: "button", textContent, onclick });
      made.setAttribute("aria-label", `${textContent}: ${this.name}`);
      return made;
    }

    get source() {
      return this.view?.state.doc.toString();
    }

    say(text) {
      this.teller.say(text);
    }

    old(part, hidden) {
      for (const one of this.cell.querySelectorAll(`:scope > :is(${part}):not(.nc-output)`)) one.hidden = hidden;
    }

    show(editing) {
      [this.open.hidden, this.go.hidden, this.halt.hidden, this.back.hidden] = [editing, !editing, !editing, !editing];
      this.old("details.above-input, .cell_input", editing);
      this.busy(false);
    }

    busy(running) {
      // not `disabled`: that would throw the focus away
      this.running = running;
      this.go.setAttribute("aria-disabled", running);
      this.halt.setAttribute("aria-disabled", !running);
      if (!running) this.teller.rest();
    }

    async edit() {
      if (this.view || this.opening) return;
      this.opening = true;
      this.say("Opening the editor");
      try {
        const [page, { edit }] = await Promise.all([getPage(), getEditor()]);
        this.page = page;
        python.start(page); // while the reader reads and types
        this.place.replaceChildren(element("div"));
        const { mine } = this;
        const first = this.beginning(page);
        this.view = edit(this.place.firstChild, mine || first, `Code of ${this.name}`, () => this.run());
        if (mine) this.view.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert: first } });
        this.place.firstChild.editor = this.view; // for other scripts: the way to the text
        this.show(true);
        this.view.focus();
        this.say(mine ? "The book's cell again. Undo (Ctrl+Z) brings back yours." : this.words.keys);
      } catch (error) {
        this.say(SAY.editor);
      }
      this.opening = false;
    }

    // What stands in the editor when it opens.
    beginning(page) {
      return page.cells[this.index].source;
    }

    reset() {
      stop(this.teller);
      if (this.source !== this.beginning(this.page)) this.mine = this.source; // for an Undo in the next editor
      this.view?.destroy();
      this.view = undefined;
      this.place.replaceChildren();
      this.output.replaceChildren();
      this.old(".cell_output, details.above-output", false);
      this.show(false);
      this.say("");
      this.open.focus();
    }

    run() {
      if (this.running || !this.view) return;
      this.busy(true);
      this.say("Waiting for another cell");
      inTurn(this.teller, () => this.through())
        .then((left) => left && this.say(left.ended))
        .catch((error) => this.say(String(error)))
        .finally(() => this.busy(false));
    }

    async through() {
      let result = await prepare(this.page, this.index, this.teller);
      const { above } = result;
      if (result.says || result.ended) (this.clear(), this.fail(result));
      const began = performance.now();
      if (!result.ended && !result.says) {
        this.say("Running");
        result = await this.long(runCell(this.page, this.index));
      }
      const took = `Done in ${((performance.now() - began) / 1000).toFixed(1)} s`;
      const note = result.note ? `. ${result.note}` : "";
      this.say(result.ended ?? (result.says ? `Error. ${result.says}` : took + (above ? `, after ${above} above` : "") + note));
    }

    // Wait, with a word to a reader who waits for long.
    async long(task) {
      const timer = setTimeout(() => this.say("Still running. Stop ends it, and with it all variables of this page."), 10000);
      const result = await task;
      clearTimeout(timer);
      return result;
    }

    clear() {
      this.output.replaceChildren();
      this.old(".cell_output, details.above-output", true);
    }

    put(kind, text) {
      if (kind === "html") {
        const made = element("div", { className: "output text_html", innerHTML: text });
        this.output.append(made);
        for (const dials of made.querySelectorAll("[data-live]")) window.normcoreCompute(dials);
        return;
      }
      const last = this.output.lastElementChild;
      const pre = last?.matches(".nc-text") ? last.querySelector("pre") : element("pre");
      if (!pre.isConnected) this.output.append(element("div", { className: "output stream highlight nc-text" }, pre));
      pre.append(text);
    }

    fail({ says, trace }) {
      if (!says) return;
      const lines = element("pre", { tabIndex: 0 }, trace);
      lines.setAttribute("role", "group");
      lines.setAttribute("aria-label", "Where it went wrong");
      this.output.append(element("div", { className: "nc-error" }, element("p", {}, says), lines));
    }
  }

  // For other scripts of the page.
  window.normcorePython = {
    Teller,
    Box,
    element,
    ready,

    // Run a cell of the page, after those above: what it shows goes to show(kind, text).  Returns {}, {says} or {ended}.
    run(index, teller, show) {
      return inTurn(teller, async () => {
        const page = await getPage().catch(() => undefined);
        const result = page ? await prepare(page, index, teller) : { ended: SAY.lost };
        if (result.ended || result.says) return result;
        teller.say("Running");
        return runCell(page, index, show);
      });
    },

    ask: (message, show) => (python.worker ? python.ask(message, show) : Promise.resolve({ ended: STOPPED })),
    stop,
    onend: (leave) => python.leavers.add(leave),
  };

  let number = 0;
  for (const cell of document.querySelectorAll("div.cell")) {
    const mark = [...cell.classList].find((name) => name.startsWith("nc-cell-"));
    const code = cell.querySelector(":scope > details.above-input, :scope > .cell_input");
    if (!mark || !code) continue;
    const [, , index, torch] = mark.split("-");
    number += 1;
    if (torch) code.after(element("p", { className: "nc-no-run" }, SAY.torch));
    else {
      const box = new Box(cell, `Cell ${number}`);
      box.index = Number(index);
      boxes.set(box.index, box);
    }
  }
})();
