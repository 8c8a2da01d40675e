// Light or dark: what the reader chose on the page, else what the system prefers.
"use strict";
const theme = (() => {
  const root = document.documentElement;
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches);

  // The button of the page changes the theme; then, and when the system does, all is drawn again.
  function connect(drawAll) {
    const button = document.querySelector(".theme");
    const name = () => (button.textContent = isDark() ? "Light" : "Dark");
    button.hidden = false;
    name();
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      name();
      drawAll();
    });
    prefersDark.addEventListener("change", () => {
      name();
      drawAll();
    });
  }

  return { isDark, connect };
})();
