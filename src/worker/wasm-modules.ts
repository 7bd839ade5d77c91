/** The two builds of assembly/, carried inside the bundle: 4 kB each, so no URL has to be resolved by anybody. */
import { SHARED, UNSHARED } from './generated/wasm.ts';

const compiled = new Map<string, WebAssembly.Module>();

/** Compiles the build for one kind of memory, once. Small enough to compile synchronously on a page's main thread. */
export function wasmModule(kind: 'shared' | 'unshared'): WebAssembly.Module {
  let module = compiled.get(kind);
  if (module === undefined) {
    module = new WebAssembly.Module(decodeBase64(kind === 'shared' ? SHARED : UNSHARED));
    compiled.set(kind, module);
  }
  return module;
}

function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
