/* Tabs: the map, and a panel for everything else that the dataset holds. Each is built when it is first opened. */

const panels = []; // {id, title, present() -> bool, build(host)}; files of panels add theirs

function tabOf(id) {
  return document.getElementById(`tab-${id}`);
}

async function buildPanel(panel, host) {
  try {
    await panel.build(host);
  } catch (error) {
    host.append(element("p", { class: "failed", text: `${panel.title} could not be shown: ${error.message}` }));
    console.error(error);
  }
}

/** Open a tab by its id; unknown ones open nothing. */
function openPanel(id) {
  const tab = tabOf(id);
  if (!tab) return;
  for (const other of tab.parentNode.children) {
    const open = other === tab;
    other.setAttribute("aria-selected", String(open));
    other.tabIndex = open ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = !open;
  }
  tab.scrollIntoView({ block: "nearest", inline: "nearest" });
  const panel = panels.find((entry) => entry.id === id);
  if (panel && !panel.host.dataset.built) {
    panel.host.dataset.built = "1";
    buildPanel(panel, panel.host);
  }
  window.scrollTo(0, 0);
  tell("tab", id);
}

function moveBetween(event) {
  const tabs = [...event.currentTarget.children];
  const here = tabs.indexOf(document.activeElement);
  const to = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: tabs.length - 1 }[event.key];
  if (to === undefined || here < 0) return;
  event.preventDefault();
  const tab = tabs[(to + tabs.length) % tabs.length];
  tab.focus();
  openPanel(tab.id.slice("tab-".length));
}

/** Make the tabs of the panels for which the dataset holds something. */
function buildTabs() {
  const bar = document.getElementById("tabs");
  const main = document.getElementById("main");
  const present = panels.filter((panel) => panel.present());
  for (const { id, title } of [{ id: "map", title: "Map" }, ...present]) {
    bar.append(
      element("button", {
        type: "button", role: "tab", id: `tab-${id}`, "aria-controls": `panel-${id}`, text: title,
        on: { click: () => openPanel(id) },
      }),
    );
  }
  for (const panel of present) {
    panel.host = element("section", {
      id: `panel-${panel.id}`, class: "panel", role: "tabpanel", "aria-labelledby": `tab-${panel.id}`, hidden: true,
    });
    main.append(panel.host);
  }
  bar.hidden = present.length === 0;
  bar.addEventListener("keydown", moveBetween);
  const wanted = () => location.hash.slice(1);
  addEventListener("hashchange", () => openPanel(wanted()));
  openPanel(tabOf(wanted()) ? wanted() : "map");
}
