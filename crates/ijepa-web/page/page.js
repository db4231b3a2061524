"use strict";

const SCALE = 384; // pixels of a panel on its longer side
const COLORS = ["#e4572e", "#29a19c", "#f3a712", "#7b5ea7"];
const FILES = ["state.json", "encoder.safetensors", "target_encoder.safetensors", "predictor.safetensors"];
const byId = (id) => document.getElementById(id);
const say = (text) => { byId("status").textContent = text; };

let wasm, device, page, picture, pixels, colors, chosen = 0, number = 0;

function inlined(id) {
  const element = byId(id);
  if (!element) return null;
  // A loop takes a twentieth of the time of `Uint8Array.from`.
  const text = atob(element.textContent), bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

// The sizes of a panel and of a patch in it.
function sizes() {
  const scale = SCALE / Math.max(page.width(), page.height());
  return {
    width: page.width() * scale,
    height: page.height() * scale,
    cell: (page.width() * scale) / page.cols(),
  };
}

function panel(id) {
  const canvas = byId(id), { width, height } = sizes();
  canvas.width = width;
  canvas.height = height;
  return canvas.getContext("2d");
}

function cells(context, patches, draw) {
  const { cell } = sizes();
  for (const patch of patches) {
    draw(context, (patch % page.cols()) * cell, Math.floor(patch / page.cols()) * cell, cell, patch);
  }
}

// The border of a block: sides of its patches that no other patch of it shares.
function outline(context, patches, color, width) {
  const own = new Set(patches), cols = page.cols();
  context.strokeStyle = color;
  context.lineWidth = width;
  context.beginPath();
  cells(context, patches, (context, x, y, cell, patch) => {
    const line = (open, x1, y1, x2, y2) => { if (open) { context.moveTo(x1, y1); context.lineTo(x2, y2); } };
    line(!own.has(patch - cols), x, y, x + cell, y);
    line(!own.has(patch + cols), x, y + cell, x + cell, y + cell);
    line(!own.has(patch - 1) || patch % cols === 0, x, y, x, y + cell);
    line(!own.has(patch + 1) || (patch + 1) % cols === 0, x + cell, y, x + cell, y + cell);
  });
  context.stroke();
}

function drawPicture() {
  const context = panel("picture"), { width, height } = sizes();
  context.drawImage(pixels, 0, 0, width, height);
  const seen = new Set(page.context()), all = page.cols() * page.rows();
  const hidden = [...Array(all).keys()].filter((patch) => !seen.has(patch));
  context.fillStyle = "rgb(20 20 25 / 72%)";
  cells(context, hidden, (context, x, y, cell) => context.fillRect(x, y, cell, cell));
  for (let block = 0; block < page.blocks(); block++) {
    outline(context, page.block(block), COLORS[block % COLORS.length], block === chosen ? 6 : 2);
  }
}

function drawFeatures() {
  const all = [...Array(page.cols() * page.rows()).keys()];
  cells(panel("features"), all, (context, x, y, cell, patch) => {
    context.fillStyle = `rgb(${colors.slice(3 * patch, 3 * patch + 3).join(" ")})`;
    context.fillRect(x, y, cell + 1, cell + 1);
  });
}

async function drawPrediction() {
  const all = page.cols() * page.rows(), found = await settled(page.predict(chosen));
  const map = found.slice(0, all), nearest = found.slice(all), context = panel("prediction");
  const low = Math.min(...map), high = Math.max(...map);
  cells(context, map.keys(), (context, x, y, cell, patch) => {
    const share = high > low ? (map[patch] - low) / (high - low) : 0.5;
    context.fillStyle = `hsl(${250 - 200 * share} 70% ${12 + 60 * share}%)`;
    context.fillRect(x, y, cell + 1, cell + 1);
  });
  outline(context, page.block(chosen), COLORS[chosen % COLORS.length], 4);
  context.strokeStyle = "white";
  context.lineWidth = 2;
  cells(context, new Set(nearest), (context, x, y, cell) => {
    const [a, b] = [0.3 * cell, 0.7 * cell];
    context.beginPath();
    context.moveTo(x + a, y + a); context.lineTo(x + b, y + b);
    context.moveTo(x + b, y + a); context.lineTo(x + a, y + b);
    context.stroke();
  });
  document.body.dataset.prediction = [...found].map((value) => value.toFixed(4)).join(" ");
}

async function look(image) {
  const width = page.width(), height = page.height(), began = performance.now();
  pixels = document.createElement("canvas");
  [pixels.width, pixels.height] = [width, height];
  const context = pixels.getContext("2d", { willReadFrequently: true });
  const scale = Math.max(width / image.width, height / image.height);
  const [w, h] = [image.width * scale, image.height * scale];
  context.imageSmoothingQuality = "high";
  context.drawImage(image, (width - w) / 2, (height - h) / 2, w, h);
  const rgba = new Uint8Array(context.getImageData(0, 0, width, height).data.buffer);
  colors = await settled(page.look(rgba));
  drawPicture();
  drawFeatures();
  await drawPrediction();
  // What could not be shown is not tried again with another model.
  picture = image;
  document.body.dataset.colors = colors.join(" ");
  document.body.dataset.firstPicture ??= Math.round(performance.now());
  say(`Computed in ${Math.round(performance.now() - began)} ms (${device.name()})`);
}

async function choose(event) {
  if (!pixels) return;
  const box = event.target.getBoundingClientRect();
  const col = Math.floor(((event.clientX - box.left) / box.width) * page.cols());
  const row = Math.floor(((event.clientY - box.top) / box.height) * page.rows());
  const patch = row * page.cols() + col;
  for (let block = 0; block < page.blocks(); block++) {
    if (page.block(block).includes(patch)) chosen = block;
  }
  drawPicture();
  await drawPrediction();
}

// The picture that the page brings along, if any.
async function example() {
  const element = byId("example");
  if (!element) return undefined;
  const image = new Image();
  image.src = element.textContent.trim();
  await image.decode();
  return image;
}

async function open(state, encoder, target, predictor) {
  const opened = new wasm.Page(device, state, encoder, target, predictor);
  page?.free();
  page = opened;
  pixels = undefined;
  chosen = 0;
  picture ??= await example();
  if (picture) await look(picture);
  else say("Choose a picture");
}

async function openFiles(files) {
  if (!files.length) return; // the choice was cleared
  const named = new Map([...files].map((file) => [file.name, file]));
  const missing = FILES.filter((name) => !named.has(name));
  if (missing.length) throw new Error(`missing ${missing.join(", ")}`);
  const bytes = FILES.map(async (name) => new Uint8Array(await named.get(name).arrayBuffer()));
  await open(...(await Promise.all(bytes)));
}

// What a module computes, or what breaks it, after which its promise would wait forever.
const settled = (computing) => new Promise((resolve, reject) => {
  const over = new AbortController(), fail = (event) => reject(event.error ?? event.reason);
  for (const kind of ["error", "unhandledrejection"]) addEventListener(kind, fail, { signal: over.signal });
  computing.then(resolve, reject).finally(() => over.abort());
});

async function start(gpu) {
  wasm = bindings();
  await wasm({ module_or_path: inlined("wasm") });
  device = (gpu && (await settled(wasm.PageDevice.gpu()))) || wasm.PageDevice.cpu();
  document.body.dataset.device = device.name();
}

function modelFirst() {
  if (!page) throw new Error("choose the files of a model first");
}

// One after the other, since the page cannot be asked anything while it computes.
let last = Promise.resolve();
const attempt = (work) => (...given) => {
  last = last.then(() => {
    if (byId("status").value.startsWith("Error: ")) say("");
    return work(...given);
  }).catch((error) => say(`Error: ${error.message ?? error}`));
};

byId("picture").addEventListener("click", attempt(choose));
byId("masks").addEventListener("click", attempt(async () => {
  modelFirst();
  page.draw_masks(++number);
  chosen = 0;
  if (pixels) { drawPicture(); await drawPrediction(); }
}));
byId("file").addEventListener("change", attempt(async (event) => {
  const [file] = event.target.files;
  if (!file) return;
  modelFirst();
  await look(await createImageBitmap(file));
}));
byId("model").addEventListener("change", attempt((event) => openFiles(event.target.files)));

attempt(async () => {
  // The module that a GPU broke is of no use to the CPU.
  await start(true).catch(() => start(false));
  const model = FILES.map(inlined);
  if (model.every(Boolean)) await open(...model);
  else say("Choose the files of a model: ijepa convert RUN FOLDER --to native");
})();
