/** Chance for programs. What must be repeatable takes a Prng instead. */

/** One call gives no more: SPEC: Web Crypto, getRandomValues. */
const QUOTA = 65536;

/** Fills `into` with unpredictable bytes. */
export function fillRandom(into: Uint8Array<ArrayBuffer>): void {
  for (let at = 0; at < into.length; at += QUOTA) crypto.getRandomValues(into.subarray(at, at + QUOTA));
}
