/** Checks of arguments, in the order and the words of node:fs. */
import { type ByteString, bytesOfArray, bytesOfText } from '../../base/bytes.ts';
import { OPEN_FLAGS } from '../../guest/arguments.ts';
import * as m from '../../wire/mode.ts';
import { abortError, codedError, outOfRange, wrongType, wrongValue } from './errors.ts';

export type FsPath = string | Uint8Array;
export type Options = Readonly<Record<string, unknown>>;

const MAX_INT32 = 2 ** 31 - 1;
const MAX_UINT32 = 2 ** 32 - 1;
const MAX_ID = MAX_UINT32;
const BUFFERS = 'an instance of Buffer, TypedArray, or DataView';

/** The letters of a word in another order that Node knows too. */
const OTHER_ORDER: Readonly<Record<string, string>> = {
  sr: 'rs',
  'sr+': 'rs+',
  xw: 'wx',
  'xw+': 'wx+',
  xa: 'ax',
  'xa+': 'ax+',
  sa: 'as',
  'sa+': 'as+',
};

const ENCODINGS = /^(utf-?8|ucs-?2|utf-?16le|latin1|binary|base64|base64url|hex|ascii)$/i;

export function isEncoding(name: unknown): boolean {
  return typeof name === 'string' && ENCODINGS.test(name);
}

export function pathArgument(value: unknown, name = 'path'): FsPath {
  const path = isUrl(value) ? pathOfUrl(value) : value;
  if (typeof path !== 'string' && !(path instanceof Uint8Array)) {
    throw wrongType(name, 'of type string or an instance of Buffer or URL', path);
  }
  if (typeof path === 'string' ? path.includes('\0') : path.includes(0)) {
    throw wrongValue(name, path, 'must be a string, Uint8Array, or URL without null bytes');
  }
  return path;
}

export function bytesOfPath(path: FsPath): ByteString {
  return typeof path === 'string' ? bytesOfText(path) : bytesOfArray(path);
}

export function openFlags(flags: unknown, name = 'flags'): number {
  if (typeof flags === 'number') return int32(flags, name, -(2 ** 31));
  if (flags === null || flags === undefined) return m.O_RDONLY;
  const text = String(flags);
  const number = OPEN_FLAGS[OTHER_ORDER[text] ?? text];
  if (typeof flags !== 'string' || number === undefined) throw wrongValue('flags', flags);
  return number;
}

export function fileMode(value: unknown, name = 'mode', otherwise?: number): number {
  const mode = value ?? otherwise;
  if (typeof mode !== 'string') return uint32(mode, name);
  if (!/^[0-7]+$/.test(mode)) {
    throw wrongValue(name, mode, 'must be a 32-bit unsigned integer or an octal string');
  }
  return uint32(Number.parseInt(mode, 8), name);
}

/** The mode of access and copyFile: what is no int32 is refused in words of their own. */
export function smallMode(value: unknown): number {
  if (value === undefined || value === null) return 0;
  if (typeof value !== 'number') {
    throw codedError(TypeError, 'ERR_INVALID_ARG_TYPE', 'mode must be int32 or null/undefined');
  }
  const mode = Math.trunc(value);
  if (!(mode >= 0 && mode <= 7)) {
    const range = Number.isNaN(mode) ? '' : ': >= 0 && <= 7';
    throw codedError(RangeError, 'ERR_OUT_OF_RANGE', `mode is out of range${range}`);
  }
  return mode;
}

export function descriptor(value: unknown): number {
  return Object.is(value, -0) ? 0 : int32(value, 'fd', 0);
}

export function isDescriptor(value: unknown): value is number {
  return typeof value === 'number' && (value | 0) === value;
}

export function ownerId(value: unknown, name: string): number {
  const id = integer(value, name, -1, MAX_ID);
  return id === MAX_ID ? -1 : id;
}

export function integer(
  value: unknown,
  name: string,
  min = Number.MIN_SAFE_INTEGER,
  max = Number.MAX_SAFE_INTEGER,
): number {
  if (typeof value !== 'number') throw wrongType(name, 'of type number', value);
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value);
  if (value < min || value > max) throw outOfRange(name, `>= ${min} && <= ${max}`, value);
  return value;
}

export function int32(value: unknown, name: string, min: number): number {
  return integer(value, name, min, MAX_INT32);
}

export function uint32(value: unknown, name: string, min = 0): number {
  return integer(value, name, min, MAX_UINT32);
}

export function boolean(value: unknown, name: string): boolean {
  if (typeof value !== 'boolean') throw wrongType(name, 'of type boolean', value);
  return value;
}

export function callback(value: unknown, name = 'cb'): (...args: unknown[]) => void {
  if (typeof value !== 'function') throw wrongType(name, 'of type function', value);
  return value as (...args: unknown[]) => void;
}

export function object(value: unknown, name: string): Options {
  if (value === null || Array.isArray(value) || typeof value !== 'object') {
    throw wrongType(name, 'of type object', value);
  }
  return value as Options;
}

/** Options as node:fs takes them: an object, an encoding, or nothing. */
export function optionsOf(options: unknown, defaults: Options = {}): Options {
  if (options === null || options === undefined || typeof options === 'function') return defaults;
  if (typeof options === 'string') return withEncoding({ ...defaults, encoding: options });
  if (typeof options !== 'object') throw wrongType('options', 'one of type string or object', options);
  const given = withEncoding(options as Options);
  const { signal } = given;
  if (signal !== undefined && (typeof signal !== 'object' || signal === null || !('aborted' in signal))) {
    throw wrongType('options.signal', 'an instance of AbortSignal', signal);
  }
  return given;
}

export function checkNotAborted(options: Options): void {
  const signal = options['signal'] as AbortSignal | undefined;
  if (signal?.aborted === true) throw abortError(signal);
}

/** The bytes of any view. */
export function viewBytes(value: unknown, name = 'buffer'): Uint8Array {
  if (!ArrayBuffer.isView(value)) throw wrongType(name, BUFFERS, value);
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

export function viewList(value: unknown): readonly Uint8Array[] {
  if (!Array.isArray(value) || !value.every((part) => ArrayBuffer.isView(part))) {
    throw wrongType('buffers', 'an ArrayBufferView[]', value);
  }
  return value.map((part) => viewBytes(part));
}

export function checkIsText(value: unknown, name: string): string {
  if (typeof value !== 'string') throw wrongType(name, `of type string or ${BUFFERS}`, value);
  return value;
}

/** utimes: seconds, a numeric string or a Date become seconds. */
export function seconds(time: unknown, now: () => number, name = 'time'): number {
  if (typeof time === 'string' && String(Number(time)) !== 'NaN') return Number(time);
  if (typeof time === 'number' && Number.isFinite(time)) return time < 0 ? now() / 1000 : time;
  if (time instanceof Date) return time.getTime() / 1000;
  throw wrongType(name, 'an instance of Date or an Time in seconds', time);
}

/** SPEC: libuv, uv__fs_to_timespec: microseconds, cut. */
export function timeOfSeconds(time: number): { sec: number; nsec: number } {
  const sec = Math.trunc(time);
  const whole = Math.trunc((time - sec) * 1e9);
  const nsec = whole - (whole % 1000);
  return nsec < 0 ? { sec: sec - 1, nsec: nsec + 1e9 } : { sec, nsec };
}

function withEncoding(options: Options): Options {
  const { encoding } = options;
  if (encoding && encoding !== 'buffer' && !isEncoding(encoding)) {
    throw wrongValue('encoding', encoding, 'is invalid encoding');
  }
  return options;
}

function isUrl(value: unknown): value is URL {
  return typeof value === 'object' && value !== null && 'href' in value && 'protocol' in value;
}

function pathOfUrl(url: URL): string {
  if (url.protocol !== 'file:') throw codedError(TypeError, 'ERR_INVALID_URL_SCHEME', 'The URL must be of scheme file');
  if (url.hostname !== '') {
    const message = 'File URL host must be "localhost" or empty on linux';
    throw codedError(TypeError, 'ERR_INVALID_FILE_URL_HOST', message);
  }
  if (/%2f/i.test(url.pathname)) {
    const message = 'File URL path must not include encoded / characters';
    throw codedError(TypeError, 'ERR_INVALID_FILE_URL_PATH', message);
  }
  return decodeURIComponent(url.pathname);
}
