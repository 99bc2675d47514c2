/* Light and dark: as the system says, until the button says otherwise. */

const systemDark = matchMedia("(prefers-color-scheme: dark)");
const SUN = "M8 4.5a3.5 3.5 0 1 0 0 7a3.5 3.5 0 1 0 0-7M8 .8v1.6M8 13.6v1.6M.8 8h1.6M13.6 8h1.6M2.9 2.9l1.1 1.1M12 12l1.1 1.1M2.9 13.1l1.1-1.1M12 4l1.1-1.1";
const MOON = "M13.5 9.8A6 6 0 0 1 6.2 2.5a6 6 0 1 0 7.3 7.3z";

let chosenTheme = null; // by the button

function isDark() {
  return chosenTheme ? chosenTheme === "dark" : systemDark.matches;
}

function applyTheme() {
  document.documentElement.dataset.theme = isDark() ? "dark" : "light";
}

applyTheme();

function themeButton() {
  const button = element("button", { type: "button", class: "round" });
  const paint = () => {
    const label = isDark() ? "Light colours" : "Dark colours";
    button.replaceChildren(icon(isDark() ? SUN : MOON));
    button.setAttribute("aria-label", label);
    button.title = label;
  };
  button.addEventListener("click", () => {
    chosenTheme = isDark() ? "light" : "dark";
    applyTheme();
    tell("theme");
  });
  systemDark.addEventListener("change", () => {
    applyTheme();
    tell("theme");
  });
  on("theme", paint);
  paint();
  return button;
}
