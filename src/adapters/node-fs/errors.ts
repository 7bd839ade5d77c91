/** Errors as Node throws them: the same classes, codes, properties and words. */
import { errnoName, errnoText } from '../../wire/errno.ts';

/** Codes without a system call that are told to callbacks all the same. */
const OUTCOMES: ReadonlySet<string> = new Set(['ABORT_ERR', 'ERR_UNKNOWN_ENCODING', 'ERR_FS_FILE_TOO_LARGE']);

type ErrorClass = new (message: string) => Error;

/** What a failed system call looks like in node:fs. */
export interface SystemCallError extends Error {
  readonly errno: number;
  readonly code: string;
  readonly syscall: string;
  readonly path?: string;
  readonly dest?: string;
}

/** A plain Error with errno, code, syscall and the paths. `errno` is positive here. */
export function callError(errno: number, syscall: string, path?: string, dest?: string): SystemCallError {
  const code = errnoName(errno);
  let message = `${code}: ${errnoText(errno)}, ${syscall}`;
  if (path !== undefined) message += ` '${path}'`;
  if (dest !== undefined) message += ` -> '${dest}'`;
  const error = Object.assign(new Error(message), { errno: -errno, code, syscall });
  return Object.assign(error, path === undefined ? {} : { path }, dest === undefined ? {} : { dest });
}

/** What goes wrong in rm and cp, where Node words things itself. */
export interface Complaint {
  readonly code: string;
  readonly message: string;
  readonly path: string;
  readonly syscall: string;
  /** Positive. */
  readonly errno: number;
}

/** Node's SystemError. */
export function systemError(code: string, prefix: string, info: Complaint): Error {
  const error = new Error(`${prefix}: ${info.syscall} returned ${info.code} (${info.message}) ${info.path}`);
  Object.defineProperty(error, 'name', { value: 'SystemError', configurable: true, writable: true });
  const { errno, syscall, path } = info;
  return Object.assign(error, { code, info, errno, syscall, path });
}

export function codedError(Class: ErrorClass, code: string, message: string): Error {
  return Object.assign(new Class(message), { code });
}

/** `expected` in Node's words: "of type string", "an instance of Buffer". */
export function wrongType(name: string, expected: string, value: unknown): Error {
  const kind = name.includes('.') ? 'property' : 'argument';
  const message = `The "${name}" ${kind} must be ${expected}. Received ${described(value)}`;
  return codedError(TypeError, 'ERR_INVALID_ARG_TYPE', message);
}

export function wrongValue(name: string, value: unknown, reason = 'is invalid'): Error {
  const kind = name.includes('.') ? 'property' : 'argument';
  const message = `The ${kind} '${name}' ${reason}. Received ${shown(value)}`;
  return codedError(TypeError, 'ERR_INVALID_ARG_VALUE', message);
}

export function outOfRange(name: string, range: string, value: unknown): Error {
  const message = `The value of "${name}" is out of range. It must be ${range}. Received ${numberText(value)}`;
  return codedError(RangeError, 'ERR_OUT_OF_RANGE', message);
}

export function abortError(signal: AbortSignal): Error {
  const error = new Error('The operation was aborted', { cause: signal.reason });
  Object.defineProperty(error, 'name', { value: 'AbortError', configurable: true, writable: true });
  return Object.assign(error, { code: 'ABORT_ERR' });
}

/** Found out only when there is something to decode. */
export function unknownEncoding(encoding: string): Error {
  return codedError(TypeError, 'ERR_UNKNOWN_ENCODING', `Unknown encoding: ${encoding}`);
}

/** Whether the error is what a call came to, for the callback, or a wrong argument, for the caller. */
export function isOutcome(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: unknown };
  return 'syscall' in error || (typeof code === 'string' && OUTCOMES.has(code));
}

function described(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  switch (typeof value) {
    case 'bigint':
      return `type bigint (${value}n)`;
    case 'number':
      return `type number (${Object.is(value, -0) ? '-0' : value})`;
    case 'boolean':
      return `type boolean (${value})`;
    case 'symbol':
      return `type symbol (${String(value)})`;
    case 'function':
      return `function ${value.name}`;
    case 'string':
      return `type string (${quoted(value.length > 28 ? `${value.slice(0, 25)}...` : value)})`;
    default: {
      const name = (value as object).constructor?.name;
      return name === undefined ? '[Object: null prototype] {}' : `an instance of ${name}`;
    }
  }
}

function quoted(text: string): string {
  return text.includes("'") ? JSON.stringify(text) : `'${text}'`;
}

function shown(value: unknown): string {
  const text = typeof value === 'string' ? inspected(value) : objectText(value);
  return text.length > 128 ? `${text.slice(0, 128)}...` : text;
}

/** What util.inspect makes of simple things. */
function objectText(value: unknown): string {
  if (value instanceof Uint8Array) return dump(value);
  if (typeof value === 'function') return value.name === '' ? '[Function (anonymous)]' : `[Function: ${value.name}]`;
  if (Array.isArray(value) && value.length === 0) return '[]';
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0 ? '{}' : String(value);
}

function inspected(text: string): string {
  const quote = !text.includes("'") ? "'" : text.includes('"') ? '`' : '"';
  const escapes: Record<string, string> = { '\n': '\\n', '\t': '\\t', '\r': '\\r', '\b': '\\b', '\f': '\\f' };
  let out = '';
  for (const char of text) {
    const code = char.charCodeAt(0);
    if (char === '\\') out += '\\\\';
    else if (code >= 0x20 && code !== 0x7f) out += char;
    else out += escapes[char] ?? `\\x${code.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return quote + out + quote;
}

function dump(bytes: Uint8Array): string {
  const hex = Array.from(bytes.subarray(0, 50), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return `<Buffer ${hex}${bytes.length > 50 ? ` ... ${bytes.length - 50} more bytes` : ''}>`;
}

function numberText(value: unknown): string {
  if (typeof value === 'bigint') return `${value > 2n ** 32n || value < -(2n ** 32n) ? grouped(`${value}`) : value}n`;
  if (typeof value === 'number') {
    return Number.isInteger(value) && Math.abs(value) > 2 ** 32 ? grouped(String(value)) : String(value);
  }
  return shown(value);
}

/** 1_000_000 */
function grouped(digits: string): string {
  return digits.replace(/\B(?=(\d{3})+$)/g, '_');
}
