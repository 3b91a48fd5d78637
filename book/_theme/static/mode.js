// Light or dark, before the first paint.
{
  const root = document.documentElement.dataset;
  try {
    localStorage.getItem("mode");
  } catch {
    // A browser that may keep nothing refuses to be asked, and scripts of the theme would end there.
    const kept = new Map();
    const value = {
      getItem: (key) => kept.get(key) ?? null,
      setItem: (key, text) => kept.set(key, text),
      removeItem: (key) => kept.delete(key),
    };
    Object.defineProperty(window, "localStorage", { value });
  }
  root.mode = localStorage.getItem("mode");
  root.theme = localStorage.getItem("theme");
  if (!["light", "dark", "auto"].includes(root.mode)) root.mode = "auto";
  if (root.mode === "auto" || root.theme === "null") {
    root.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }
}
