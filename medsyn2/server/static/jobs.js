// @ts-check
/** Step 4 of the page: the request, its progress, the preview, cancel, and the results as they come. */
import {ServerError, cancelJob, checkItem, fetchState, startJob} from "./api.js";
import {button, byId, input, press, select, setOptions} from "./dom.js";
import {sendStructure} from "./drawing.js";
import {readReport} from "./report.js";
import {duration, hasText, t} from "./texts.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./api.js").Job} Job */
/** @typedef {import("./api.js").Item} Item */

const MORE = {num_steps: "num-steps", guidance_report: "guidance-report", guidance_mask: "guidance-mask"};

/** @param {Page} page */
export function setUpJobs(page) {
  page.hear(["masks", "active"], () => showMasks(page));
  page.hear(["source"], () => showKind(page));
  page.hear(["masks", "source", "text"], () => showRequest(page));
  for (const id of ["asked", "region", "remove"]) select(id).addEventListener("change", () => page.tell("text"));
  setOptions(
    select("solver"),
    page.state.solvers.map(s => [s, hasText(`solver.${s}`) ? t(`solver.${s}`) : s]),
  );
  select("solver").value = page.state.sampling.solver;
  for (const [key, id] of Object.entries(MORE)) input(id).value = String(page.state.sampling[key] ?? "");
  button("generate").addEventListener("click", () => page.attempt(() => generate(page)));
  button("cancel").addEventListener("click", () => page.attempt(() => cancel(page)));
  showMasks(page);
  showKind(page);
  showJob(page, page.state.job);
}

/** @param {Page} page */
function showMasks(page) {
  const lists = [select("asked"), select("region"), select("remove")],
    before = lists[0].dataset.active ?? "";
  const named = page.drawn.map(d => /** @type {[string, string]} */ ([d.key, d.words || t("draw.unnamed")]));
  setOptions(lists[0], [["", t("do.no-mask")], ...named]);
  setOptions(lists[1], [["", t("do.region-auto")], ...named]);
  setOptions(lists[2], [["", t("do.remove-none")], ...named]);
  // The structure that was just chosen is the one that is meant, until the list says otherwise.
  const active = page.active?.key ?? "";
  if (active !== before && active) lists[0].value = active;
  lists[0].dataset.active = active;
}

/** @param {Page} page */
function showKind(page) {
  const isEdit = page.source !== "",
    isReal = isScan(page);
  byId("edit-options", HTMLElement).hidden = !isEdit;
  for (const id of ["margin-row", "region-row", "remove-row"]) byId(id, HTMLElement).hidden = !isReal;
  byId("seed-rows", HTMLElement).hidden = isEdit && !isReal; // A change keeps the noise of the volume that it changes
  button("generate").textContent = t(isReal ? "do.edit-scan" : isEdit ? "do.edit" : "do.generate");
  showRequest(page);
}

/** Say in a sentence which volume would come. @param {Page} page */
function showRequest(page) {
  const {findings, impression} = readReport(),
    asked = page.drawn.find(d => d.key === select("asked").value);
  const parts = findings || impression ? (asked ? "both" : "report") : asked ? "mask" : "neither";
  byId("request", HTMLElement).textContent = hasPlace(page)
    ? t(`request.${page.source ? "edit-" : ""}${parts}`, {words: asked?.words || t("draw.unnamed")})
    : t("request.no-place");
}

/** @param {Page} page */
function isScan({opened, source}) {
  return opened.some(h => h.id === source);
}

/** Say whether a scan is told where it may change; other volumes may change anywhere. @param {Page} page */
function hasPlace(page) {
  return !isScan(page) || ["asked", "region", "remove"].some(id => select(id).value !== "");
}

/** @param {Page} page */
function readSampling(page) {
  const defaults = page.state.sampling,
    changes = /** @type {Record<string, unknown>} */ ({});
  if (select("solver").value !== defaults.solver) changes.solver = select("solver").value;
  for (const [key, id] of Object.entries(MORE)) {
    const value = Number(input(id).value);
    if (input(id).value !== "" && value !== defaults[key]) changes[key] = value;
  }
  return changes;
}

/** @param {Page} page @param {string} list */
async function maskOf(page, list) {
  const drawn = page.drawn.find(d => d.key === select(list).value);
  return drawn ? {id: await sendStructure(drawn), words: drawn.words || null} : {id: null, words: null};
}

/** @param {Page} page */
async function generate(page) {
  if (!hasPlace(page)) throw new Error(t("request.no-place"));
  button("generate").disabled = true;
  try {
    const mask = await maskOf(page, "asked"),
      first = Math.max(0, Math.floor(Number(input("seed").value) || 0));
    const num = Math.max(1, Math.min(16, Math.floor(Number(input("num-seeds").value) || 1)));
    const {findings, impression} = readReport(),
      isReal = isScan(page),
      isEdit = page.source !== "";
    const remove = isReal ? await maskOf(page, "remove") : {id: null, words: null};
    const {job} = await startJob({
      kind: isEdit ? "edit" : "generate",
      findings: findings || null,
      impression: impression || null,
      mask: mask.id,
      words: mask.words ?? remove.words,
      source: page.source || null,
      seeds: isEdit && !isReal ? [0] : Array.from({length: num}, (_, i) => first + i),
      sampling: readSampling(page),
      ...(isEdit && {strength: Number(input("strength").value)}),
      ...(isReal && {
        margin_mm: Number(input("margin").value),
        region: (await maskOf(page, "region")).id,
        remove: remove.id,
      }),
    });
    showJob(page, job);
  } finally {
    button("generate").disabled = false;
  }
}

/** @param {Page} page */
async function cancel(page) {
  if (!page.job) return;
  button("cancel").disabled = true;
  await cancelJob(page.job.id);
}

/** Show a job's progress; jobs that ended are gone. @param {Page} page @param {Job | null} job */
function showJob(page, job) {
  const isOpen = job !== null && (job.state === "waiting" || job.state === "running"),
    was = page.job;
  if (!isOpen && job && was && was.id !== job.id) return;
  page.job = isOpen ? job : null;
  byId("progress", HTMLElement).hidden = !isOpen;
  press(button("generate"), isOpen);
  if (!job) return;
  if (!isOpen) {
    button("cancel").disabled = false;
    page.attempt(async () => {
      if (job.state !== "done") await leavePreview(page);
      page.say(t(`job.${job.state}`));
    });
    return;
  }
  const bar = byId("progress-bar", HTMLProgressElement),
    text = progressText(job);
  if (job.state === "running" && job.total) {
    bar.max = job.total;
    bar.value = job.done ?? 0;
  } else bar.removeAttribute("value");
  byId("progress-text", HTMLElement).textContent = text;
  // A screen reader hears the beginning and each change of the phase, not each step.
  if (was?.id !== job.id || was?.phase !== job.phase) page.say(text);
}

/** Go back to what was shown before a job that made nothing. @param {Page} page */
async function leavePreview(page) {
  if (page.viewer.main?.header.kind !== "preview") return;
  const id = page.item?.volume ?? page.opened.find(h => h.id === page.source)?.id ?? page.template?.id;
  if (id) await page.showMain(id);
}

/** @param {Job} job */
function progressText({state, phase, done, total, seed_index, seeds, eta_s}) {
  if (state === "waiting") return t("job.waiting");
  const name = phase && hasText(`phase.${phase}`) ? t(`phase.${phase}`) : (phase ?? t("job.running"));
  const which = (seeds ?? 1) > 1 ? t("job.which", {n: (seed_index ?? 0) + 1, total: seeds ?? 1}) : "";
  const count = total ? ` ${done} / ${total}` : "";
  return [which, name + count, eta_s ? t("job.eta", {time: duration(eta_s)}) : ""].filter(Boolean).join(" · ");
}

/** @param {Page} page @param {string} name @param {any} data */
export function hearEvent(page, name, data) {
  if (name === "job") showJob(page, {...(page.job?.id === data.id ? page.job : {}), ...data});
  else if (name === "preview")
    page.showMain(data.volume).catch(() => {}); // The last two exist; one that is gone is past
  else if (name === "model") showModel(page, data);
  else if (name === "removed") forgetLocally(page, data.id);
  else if (name === "result") page.attempt(() => receive(page, data));
  else if (name === "error") page.fail(new ServerError(0, data));
  else if (name === "reset") page.attempt(() => readAgain(page));
}

/** @param {Page} page @param {Item} item */
async function receive(page, item) {
  const known = page.items.findIndex(i => i.id === item.id);
  if (known >= 0) page.items[known] = item;
  else page.items.unshift(item);
  page.tell("items");
  if (known < 0 || page.item?.id === item.id) await page.showItem(item);
  page.say(t("job.result", {name: item.name}));
}

/** Say whether the model can be used yet. @param {Page} page @param {{state: string, error?: any}} model */
export function showModel(page, model) {
  Object.assign(page.state.model, model);
  const {name, state, error} = page.state.model;
  byId("model", HTMLElement).textContent = t(`model.${state}`, {name, version: page.state.version});
  if (state === "unusable") page.fail(new ServerError(0, error ?? {}));
}

/** @param {Page} page @param {string} id */
function forgetLocally(page, id) {
  page.items = page.items.filter(i => i.id !== id);
  page.opened = page.opened.filter(h => h.id !== id);
  page.tell("opened");
  if (page.item?.id === id) page.attempt(() => page.showItem(null));
  page.tell("items");
}

/** Read the state again after the server was away. @param {Page} page */
export async function readAgain(page) {
  const state = await fetchState();
  page.state = state;
  page.items = [...state.history].reverse();
  page.opened = [...state.volumes].reverse();
  page.tell("items");
  page.tell("opened");
  showJob(page, state.job);
}

/** @param {Page} page @param {Item} item */
export async function check(page, item) {
  showJob(page, (await checkItem(item.id)).job);
}
