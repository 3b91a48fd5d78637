// Questions with answers to choose or to type (book/normext/questions.py). Answers stay in this browser; nothing is sent.
(() => {
  "use strict";

  const PREFIX = "normcore question ";
  const memory = new Map(); // what could not be stored
  const store = {
    get(key) {
      if (memory.has(key)) return memory.get(key);
      try {
        return JSON.parse(localStorage.getItem(PREFIX + key)) ?? {};
      } catch {
        return {};
      }
    },
    set(key, value) {
      try {
        localStorage.setItem(PREFIX + key, JSON.stringify(value));
        memory.delete(key);
      } catch {
        memory.set(key, value); // newer than what is stored
      }
    },
    remove(key) {
      memory.delete(key);
      try {
        localStorage.removeItem(PREFIX + key);
      } catch {}
    },
  };

  const make = (name, properties, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };

  // What is said about an answer, where a screen reader hears it.
  function speak(place, judged) {
    place.replaceChildren(...[...(judged?.childNodes ?? [])].map((one) => one.cloneNode(true)));
    place.dataset.right = String(Boolean(judged?.matches(".nc-right")));
    place.hidden = !judged;
  }

  const plain = (words) => make("p", {}, words);

  function choice(question, key, changed) {
    const [ask, options] = [question.querySelector(".nc-ask"), question.querySelector(".nc-options")];
    const whys = question.querySelectorAll(".nc-whys > li");
    options.setAttribute("role", "radiogroup");
    options.setAttribute("aria-labelledby", ask.id);
    const radios = [...options.querySelectorAll("li")].map((item, value) => {
      const radio = make("input", { type: "radio", name: ask.id, value, autocomplete: "off" });
      item.replaceChildren(make("label", {}, radio, ...item.childNodes));
      return radio;
    });
    const check = make("button", { type: "button", textContent: "Check" });
    const said = make("div", { className: "nc-said", role: "status" });
    options.after(make("div", { className: "nc-tools" }, check), said);

    const show = (chosen) => {
      radios.forEach((radio, at) => (radio.checked = at === chosen));
      speak(said, whys[chosen]);
      question.classList.toggle("nc-answered", chosen === Number(question.dataset.key));
    };
    check.addEventListener("click", () => {
      const chosen = radios.findIndex((radio) => radio.checked);
      if (chosen < 0) return speak(said, plain("Choose one of the answers first."));
      store.set(key, { chosen, right: chosen === Number(question.dataset.key) });
      show(chosen);
      changed();
    });
    const { chosen } = store.get(key);
    if (Number.isInteger(chosen) && radios[chosen]) show(chosen);
    else speak(said);
    return { right: () => question.matches(".nc-answered"), forget: () => show(-1) };
  }

  // "1 234,5", "−3", "2/5" and "1e-3" are numbers, too.
  function parsed(typed) {
    const text = typed.replace(/[\s\u202f']/g, "").replace("\u2212", "-");
    const [whole, part, ...rest] = text.split("/").map((one) => (/\..*,|,.*,/.test(one) ? one.replaceAll(",", "") : one.replace(",", ".")));
    if (!whole || rest.length || part === "") return NaN;
    return part === undefined ? Number(whole) : Number(whole) / Number(part);
  }

  const near = (value, wanted, tolerance) => Math.abs(value - wanted) <= tolerance + 1e-9 * Math.abs(wanted);

  function number(question, key, changed) {
    const variants = [...question.querySelectorAll(".nc-variant")];
    const field = make("input", { type: "text", inputMode: "text", autocomplete: "off", size: 10 });
    const check = make("button", { type: "button", textContent: "Check" });
    const other = make("button", { type: "button", textContent: "Other numbers" });
    const said = make("div", { className: "nc-said", role: "status" });
    const label = make("label", {}, "Your answer ", field);
    const parts = variants.map((variant) => ({
      ask: variant.querySelector(".nc-ask"),
      folded: variant.querySelector(".nc-folded"),
      right: variant.querySelector(".nc-right"),
      wrong: [...variant.querySelectorAll(".nc-wrong")],
    }));
    question.append(make("div", { className: "nc-tools" }, label, check, other), said, ...parts.map((one) => one.folded));
    let at = 0;

    const turn = (to) => {
      at = to % variants.length;
      variants.forEach((variant, index) => (variant.hidden = parts[index].folded.hidden = index !== at));
      field.setAttribute("aria-describedby", parts[at].ask.id);
    };
    const judge = (typed) => {
      const { answer, tolerance, mistakes } = variants[at].dataset;
      const value = parsed(typed);
      if (!Number.isFinite(value)) return plain("That is not a number. You can write 0.25, 1/4 or 2.5e-1.");
      if (near(value, Number(answer), Number(tolerance))) return parts[at].right;
      const found = JSON.parse(mistakes).findIndex((one) => near(value, one, Math.max(Number(tolerance), 0.01 * Math.abs(one))));
      return parts[at].wrong[found] ?? plain("Not so, and none of the usual mistakes. Try again.");
    };
    const show = (typed) => {
      field.value = typed;
      const judged = typed ? judge(typed) : undefined;
      speak(said, judged);
      question.classList.toggle("nc-answered", Boolean(judged?.matches(".nc-right")));
    };
    const answer = () => {
      if (!field.value.trim()) return speak(said, plain("Type a number first."));
      show(field.value);
      store.set(key, { typed: field.value, variant: at, right: question.matches(".nc-answered") });
      changed();
    };
    check.addEventListener("click", answer);
    field.addEventListener("keydown", (event) => event.key === "Enter" && answer());
    other.addEventListener("click", () => {
      turn(at + 1);
      show("");
      store.remove(key);
      changed();
      field.focus();
    });
    const kept = store.get(key);
    turn(Number.isInteger(kept.variant) && variants[kept.variant] ? kept.variant : 0);
    show(typeof kept.typed === "string" ? kept.typed : "");
    return {
      right: () => question.matches(".nc-answered"),
      forget: () => (turn(0), show("")),
    };
  }

  for (const block of document.querySelectorAll(".nc-questions")) {
    const keys = [...block.querySelectorAll(".nc-question")].map((one) => `${block.dataset.page}#${one.dataset.id}`);
    const score = make("span", { className: "nc-status", role: "status" });
    const clear = make("button", { type: "button", textContent: "Clear my answers here" });
    const changed = () => {
      const right = questions.filter((one) => one.right()).length;
      score.textContent = `${right} of ${questions.length} right.`;
      clear.hidden = !keys.some((key) => Object.keys(store.get(key)).length);
    };
    const questions = [...block.querySelectorAll(".nc-question")].map((one, at) =>
      (one.matches(".nc-choice") ? choice : number)(one, keys[at], () => changed()),
    );
    clear.addEventListener("click", () => {
      keys.forEach((key) => store.remove(key));
      questions.forEach((one) => one.forget());
      changed();
      block.querySelector("input").focus();
    });
    for (const summary of block.querySelectorAll(".nc-folded > summary")) summary.textContent = "All answers, explained";
    block.append(make("div", { className: "nc-tools" }, score, clear));
    changed();
  }
})();
