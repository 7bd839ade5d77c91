/** Assertions: for our own bugs only. A peer's mistakes become an errno or a broken device instead. */

class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/** Throws unless `fact` holds. One fact per call, so that the message says which one failed. */
export function assert(fact: boolean, message: string): asserts fact {
  if (!fact) throw new AssertionError(message);
}
