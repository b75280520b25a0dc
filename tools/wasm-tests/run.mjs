// Runs a test program that was compiled for wasm32-wasip1: the target that ships, with
// the clock, the randomness and the output that the test runner asks for.
import { readFile } from "node:fs/promises";
import process from "node:process";
import { WASI } from "node:wasi";

const [program, ...args] = process.argv.slice(2);
const wasi = new WASI({
  version: "preview1",
  args: [program, ...args],
  env: process.env,
  returnOnExit: true,
});
// The host functions of proxy-wasm. Unit tests reach none of them, so each throws when
// it is called after all.
const env = new Proxy({}, {
  get: (_, name) => () => {
    throw new Error(`host function ${String(name)} called in a unit test`);
  },
});
const module = await WebAssembly.compile(await readFile(program));
const instance = await WebAssembly.instantiate(module, { ...wasi.getImportObject(), env });
try {
  process.exitCode = wasi.start(instance);
} catch (error) {
  // A panic aborts: its message is above.
  console.error(String(error));
  process.exitCode = 101;
}
