// As much of a page as it takes to load a script.

/** Gives the clients that look for one a document whose head loads scripts. */
export function fakePage() {
  let open = true;
  const load = async (script) => {
    try {
      const answer = await fetch(script.src);
      const text = await answer.text();
      if (!open) return;
      if (!answer.ok) throw new Error(`${answer.status} ${text}`);
      new Function("window", `with (window) { ${text} }`)(globalThis.window);
      script.onload?.();
    } catch {
      if (open) script.onerror?.();
    }
  };
  Object.assign(globalThis.document, {
    createElement: (kind) => (kind === "script" ? {} : new Link()),
    head: { firstChild: null, insertBefore: (script) => void load(script) },
  });
  // The document stays: some clients ask for a script a moment after they were closed.
  return { close: () => (open = false) };
}

/** The clients find out by this what a URL is in full, as ours are. */
class Link {
  innerHTML = "";

  get firstChild() {
    return { href: /href="([^"]*)"/.exec(this.innerHTML)[1] };
  }
}
