// @ts-check
/**
 * Requests to the server and the stream of its events. Volumes come as bytes once, masks as runs; nothing else is
 * large.
 */
import {gridOf, numVoxels} from "./grid.js";

/**
 * @typedef {{id: string, kind: string, name: string, shape: number[], spacing_mm: number[], affine: number[][],
 * is_synthetic?: boolean, scale?: import("./grid.js").Triple, native?: {shape: number[], spacing_mm: number[]}, notes?: string[]}} Header
 * `scale`: millimetres of a real scan for each of the page's; `native`: the scan as it came
 */
/** @typedef {{id: string, header: Header, grid: import("./grid.js").Grid, hu: Int16Array}} Volume */
/** @typedef {{name: string, words: string, colour: string | null}} Structure */
/** @typedef {{dice: number | null, asked_ml: number | null, found_ml: number | null, asked_side: string | null, side: string | null,
 *   hu: {mean: number, p10: number, p90: number} | null, segmenter: string, problem: string | null}} Check */
/**
 * @typedef {object} Item
 * @property {string} id
 * @property {string} kind
 * @property {number} created seconds since 1970
 * @property {string} name
 * @property {string} volume
 * @property {string | null} before
 * @property {string | null} source
 * @property {string | null} mask
 * @property {string | null} found
 * @property {Check | null} check
 * @property {string | null} report
 * @property {string | null} words
 * @property {number} seed
 * @property {Record<string, unknown>} sampling
 * @property {Record<string, unknown>} recipe
 * @property {string} command
 */
/**
 * @typedef {object} Job
 * @property {string} id
 * @property {"waiting" | "running" | "done" | "failed" | "cancelled"} state
 * @property {string} [phase]
 * @property {number} [done]
 * @property {number} [total]
 * @property {number} [seed_index]
 * @property {number | null} [eta_s]
 * @property {number} [seeds] how many
 */
/**
 * @typedef {object} State
 * @property {string} version
 * @property {{name: string, edits_real_cts: boolean, error?: any, fingerprint: string, licence: string | null,
 * trained: Record<string, unknown>, state:
 * string, grid: {shape: number[], affine: number[][]},
 *   structures: Structure[], max_report_tokens: number, max_prompt_tokens: number}} model
 * @property {Record<string, any>} sampling the model's own values
 * @property {string[]} solvers
 * @property {number} [shelf]
 * @property {Item[]} history oldest first
 * @property {Job | null} job
 * @property {Header[]} volumes scans that were opened
 * @property {number} event the last that is in this state
 * @property {number} max_upload_bytes
 */

/** An error that the server has told, with its remedy. */
export class ServerError extends Error {
  /** @param {number} status @param {{code?: string, message?: string, remedy?: string}} told */
  constructor(status, told) {
    super(told.message ?? `HTTP ${status}`);
    this.status = status;
    this.code = told.code ?? "";
    this.remedy = told.remedy ?? "";
  }
}

/**
 * @param {string} method @param {string} path @param {BodyInit | null} body @param {string} type
 */
async function send(method, path, body = null, type = "application/json") {
  const headers = /** @type {Record<string, string>} */ (body === null ? {} : {"Content-Type": type});
  const answer = await fetch(path, {method, body, headers, credentials: "same-origin", redirect: "error"});
  if (!answer.ok) throw new ServerError(answer.status, await answer.json().catch(() => ({})));
  return answer;
}

/** @param {string} method @param {string} path @param {unknown} [content] @returns {Promise<any>} */
async function talk(method, path, content) {
  const answer = await send(method, path, content === undefined ? null : JSON.stringify(content));
  return answer.status === 204 ? null : answer.json();
}

/** @returns {Promise<State>} */
export function fetchState() {
  return talk("GET", "/api/state");
}

/** @returns {Promise<Header | null>} */
export function fetchTemplate() {
  return talk("GET", "/api/template");
}

/** @returns {Promise<{finding: string, sentences: string[]}[]>} */
export function fetchExamples() {
  return talk("GET", "/api/examples");
}

/**
 * @typedef {{id: string, structure: string, words: string, side: string | null, volume_ml: number | null, phantom:
 * number, place:
 * string}} Start
 */

/** @returns {Promise<Start[]>} */
export function fetchShelf() {
  return talk("GET", "/api/shelf");
}

/** @param {string} id @returns {Promise<{id: string, name: string, words: string}>} */
export function takeFromShelf(id) {
  return talk("POST", `/api/shelf/${encodeURIComponent(id)}`, {});
}

/** @param {{findings: string, impression: string, words: string | null}} text
 *  @returns {Promise<{tokens: number, max_tokens: number, cut: string, unknown: string[], prompt: string, notes:
 * string[]}>} */
export function checkText(text) {
  return talk("POST", "/api/text", text);
}

/** @param {Record<string, unknown>} order @returns {Promise<{job: Job}>} */
export function startJob(order) {
  return talk("POST", "/api/jobs", order);
}

/** @param {string} id */
export function cancelJob(id) {
  return talk("DELETE", `/api/jobs/${id}`);
}

/** @param {string} id @returns {Promise<{job: Job}>} */
export function checkItem(id) {
  return talk("POST", `/api/items/${id}/check`, {});
}

/** @param {string} id */
export function forgetVolume(id) {
  return talk("DELETE", `/api/volumes/${id}`);
}

/** @param {string} id */
export function forgetItem(id) {
  return talk("DELETE", `/api/items/${id}`);
}

/** @param {string} id @param {string} format */
export function itemFile(id, format) {
  return `/api/items/${id}/file?format=${encodeURIComponent(format)}`;
}

/** @param {string} id @param {string} format */
export function maskFile(id, format) {
  return `/api/masks/${id}/file?format=${encodeURIComponent(format)}`;
}

/** @param {string} id @returns {Promise<Header>} */
export function fetchHeader(id) {
  return talk("GET", `/api/volumes/${id}/header`);
}

/**
 * Read a volume into an array made for it, so that it is in memory once.
 * @param {Header} header @param {(share: number) => void} tell @returns {Promise<Volume>}
 */
export async function fetchVolume(header, tell) {
  const grid = gridOf(header),
    hu = new Int16Array(numVoxels(grid)),
    bytes = new Uint8Array(hu.buffer);
  const {body} = await send("GET", `/api/volumes/${header.id}`);
  let num = 0;
  if (body)
    for (const stream = body.getReader(); ; ) {
      const {done, value} = await stream.read();
      if (done) break;
      bytes.set(value, num);
      num += value.length;
      tell(num / bytes.length);
    }
  if (num !== bytes.length) throw new ServerError(0, {message: `${num} bytes for ${hu.length} voxels`});
  return {id: header.id, header, grid, hu};
}

/** @param {string} id */
export async function fetchMask(id) {
  const answer = await send("GET", `/api/masks/${id}`);
  return new Uint32Array(await answer.arrayBuffer());
}

/** @param {Uint32Array} runs @param {string} name @param {string} words @returns {Promise<{id: string}>} */
export async function sendMask(runs, name, words) {
  const query = new URLSearchParams({name, words}),
    body = new Uint8Array(runs.slice().buffer);
  return (await send("POST", `/api/masks?${query}`, body, "application/octet-stream")).json();
}

/** @typedef {{id: string, name: string, words: string, notes: string[]}} OpenedMask */
/** @typedef {{volumes: Header[], masks: OpenedMask[]}} Opened */

/**
 * Open a file. `of` is the scan that a mask was drawn on, so that it is brought to the model's grid as the scan is.
 * @param {File} file @param {"ct" | "mask"} as @param {string | null} of @returns {Promise<Opened>}
 */
export async function openFile(file, as, of) {
  const query = new URLSearchParams({name: file.name, as, ...(of && {of})});
  return (await send("POST", `/api/open?${query}`, file, "application/octet-stream")).json();
}

/**
 * Call `hear` with each event after a number, through breaks of the connection, until the signal.
 * @param {number} after @param {(name: string, data: any) => void} hear @param {(isUp: boolean) => void} link @param
 * {AbortSignal} signal
 */
export async function listen(after, hear, link, signal) {
  let last = String(after),
    wait_ms = 500;
  while (!signal.aborted) {
    try {
      const answer = await fetch(`/api/events?after=${last}`, {signal, credentials: "same-origin"});
      if (!answer.ok || !answer.body) throw new ServerError(answer.status, {});
      link(true);
      wait_ms = 500;
      for await (const event of eventsOf(answer.body)) {
        if (event.id) last = event.id;
        if (event.data) hear(event.name, JSON.parse(event.data));
      }
    } catch {
      if (signal.aborted) return;
    }
    link(false);
    await new Promise(done => setTimeout(done, wait_ms));
    wait_ms = Math.min(5000, wait_ms * 2);
  }
}

/** @param {ReadableStream<Uint8Array>} body */
async function* eventsOf(body) {
  const reader = body.getReader(),
    decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const {done, value} = await reader.read();
    if (done) return;
    text += decoder.decode(value, {stream: true});
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const fields = /** @type {Record<string, string>} */ ({});
      for (const line of text.slice(0, end).split("\n")) {
        const colon = line.indexOf(":");
        if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1).trimStart();
      }
      yield {id: fields.id ?? "", name: fields.event ?? "message", data: fields.data ?? ""};
    }
  }
}
