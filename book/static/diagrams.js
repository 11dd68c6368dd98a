// Draws the page's Mermaid diagrams. In dark mode the book's theme turns their colors around. Without a network there
// is no Mermaid, and each diagram stays a text.
if (window.mermaid) {
  mermaid.initialize({
    startOnLoad: false,
    theme: "neutral",
    flowchart: { rankSpacing: 24, nodeSpacing: 20, padding: 8 },
  });
  mermaid.run({ querySelector: "pre.mermaid" });
}
