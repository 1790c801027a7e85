// The keys go to the client as soon as it is connected, and when the person comes back to the tab.
function focusTerminal() {
  if (document.body.classList.contains("-loaded")) {
    document.querySelector(".xterm-helper-textarea")?.focus();
  }
}
window.addEventListener("focus", focusTerminal);
window.addEventListener("DOMContentLoaded", () => {
  const observer = new MutationObserver(focusTerminal);
  observer.observe(document.body, { attributeFilter: ["class"] });
});
