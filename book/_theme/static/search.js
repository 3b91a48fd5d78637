// The search: sections of the book, best first, each with the sentence that answers best. MiniSearch ranks them (BM25);
// how words are cut and which are the same is said here. Works from a folder, too: nothing is fetched but scripts.
(() => {
  "use strict";

  const LETTERS = { α: "alpha", β: "beta", γ: "gamma", ε: "epsilon", η: "eta", λ: "lambda", μ: "mu", σ: "sigma" };
  const SAME = {
    axes: "axis", colour: "color", eps: "epsilon", eval: "evaluation", moving: "running", neighbour: "neighbor",
    normal: "norm", stat: "statistic", stats: "statistic", std: "deviation", sync: "synchronize", var: "variance",
  }; // prettier-ignore
  const SHORT = { BN: "batch norm", GN: "group norm", IN: "instance norm", LN: "layer norm" };
  const EMPTY = new Set(
    ("a an and are as at be by can could did do does for from has have how i if in into is it its my of on or should " +
      "so than that the their then there these this to was what where who why will with would you your").split(" "),
  );
  const ENDS = ["izations", "ization", "izing", "izes", "ized", "ize", "ations", "ation", "ing", "ers", "er", "ed", "es", "s", "e"];

  const stem = (word) => {
    const spelled = word.replace(/is(?=(?:e|es|ed|ing|ation|ations)$)/, "iz"); // normalise, normalisation
    if (/\d|_/.test(spelled) || /(ss|us|is)$/.test(spelled)) return spelled;
    const end = ENDS.find((one) => spelled.endsWith(one) && spelled.length - one.length >= 4);
    return end ? spelled.slice(0, -end.length) : spelled;
  };
  const same = (word) => (Object.hasOwn(SAME, word) ? SAME[word] : word);
  const kept = (make) => {
    const made = new Map(); // most words come often
    return (word) => {
      if (!made.has(word)) made.set(word, make(word));
      return made.get(word);
    };
  };
  const known = kept((word) => {
    const low = word.toLowerCase().replace(/[αβγεημλσ]/g, (letter) => LETTERS[letter]);
    return EMPTY.has(low) ? "" : same(stem(same(low)));
  });
  // "InstanceNorm2d" is a word, and so are "instance" and "norm"; "batchnorm" has the same two parts as "batch norm".
  const parts = kept((word) => {
    const found = word
      .replace(/([a-z])([A-Z])/g, "$1 $2")
      .replace(/(?<=[a-zA-Z]{3})\dd?$/, "")
      .replace(/(batch|instance|layer|group)(?=norm)/gi, "$1 ")
      .split(/[ _]+/)
      .filter((part) => part);
    return found.length > 1 ? [word, ...found] : [word];
  });
  const words = (text) => text.replace(/\b[BGIL]N\b/g, (name) => SHORT[name]).match(/[\p{L}\p{N}_]+/gu) ?? [];
  const cut = (text) => words(text.normalize("NFKC")).flatMap(parts);
  const terms = (text) => cut(text).map(known).filter((term) => term);

  const sections = window.normcoreSections;
  const index = new MiniSearch({
    fields: ["title", "page", "text", "code"],
    tokenize: cut,
    processTerm: known,
    searchOptions: { boost: { title: 6, page: 1.5, text: 1, code: 0.4 }, prefix: false },
  });
  index.addAll(sections.map((section, id) => ({ id, ...section })));

  // The share of the words that a section has counts twice: one that has them all stands above one that has one often.
  const find = (query) => {
    const wanted = words(query.normalize("NFKC"))
      .map((word) => parts(word).map(known).filter((term) => term))
      .filter((one) => one.length);
    const last = wanted.at(-1)?.[0];
    const options = {
      prefix: (term) => term === last && term.length > 3 && !/\s$/.test(query),
      fuzzy: (term) => (term.length > 5 && !index.search(term, { prefix: false, fuzzy: false }).length ? 0.2 : false),
      weights: { fuzzy: 0.2, prefix: 0.3 },
      boostDocument: (id) => sections[id].weight,
    };
    return index
      .search(query, options)
      .map((found) => {
        const share = wanted.filter((one) => one.some((term) => found.queryTerms.includes(term))).length / wanted.length;
        return { ...sections[found.id], score: found.score * share ** 2, words: new Set(found.terms) };
      })
      .sort((a, b) => b.score - a.score);
  };

  // The first sentence with most of the words.
  const sentence = ({ text, words }) => {
    let best = { hits: -1, one: "" };
    for (const one of text.split(/(?<=[.!?])\s+|\n/)) {
      const hits = new Set(terms(one).filter((term) => words.has(term))).size;
      if (one.length > 30 && hits > best.hits) best = { hits, one };
    }
    return best.one.length > 280 ? `${best.one.slice(0, 280).replace(/\s\S*$/, "")} …` : best.one;
  };
  const marked = (text, words) => {
    const line = document.createElement("p");
    for (const piece of text.split(/([\p{L}\p{N}_]+(?:\.\p{N}+)*)/u)) {
      const hit = !/\p{N}\.\p{N}/u.test(piece) && terms(piece).some((term) => words.has(term)); // the 1 of 1.01 is none
      const part = hit ? document.createElement("mark") : document.createTextNode(piece);
      if (hit) part.textContent = piece;
      line.append(part);
    }
    return line;
  };

  const status = document.getElementById("search-status");
  const results = document.getElementById("search-results");
  const SHOWN = 20;
  const show = (query) => {
    const found = terms(query).length ? find(query) : [];
    const list = document.createElement("ol");
    for (const section of found.slice(0, SHOWN)) {
      const item = document.createElement("li");
      const link = document.createElement("a");
      link.href = section.url;
      link.textContent = section.title;
      item.append(link);
      if (section.page !== section.title) item.append(` in ${section.page}`);
      item.append(marked(sentence(section), section.words));
      list.append(item);
    }
    results.replaceChildren(list);
    const count = found.length === 1 ? "One section" : `${found.length} sections`;
    const best = found.length > SHOWN ? `; the best ${SHOWN} are shown` : "";
    status.textContent = !query.trim() ? "" : found.length ? `${count}${best}.` : `No section has “${query}”.`;
  };

  const field = document.getElementById("search-input");
  field.value = new URLSearchParams(location.search).get("q") ?? "";
  field.addEventListener("input", () => {
    show(field.value);
    if (location.protocol !== "file:") history.replaceState(null, "", `?q=${encodeURIComponent(field.value)}`);
  });
  field.form.addEventListener("submit", (event) => {
    event.preventDefault();
    show(field.value);
  });
  show(field.value);
  field.focus();
  window.normcoreFind = find;
})();
