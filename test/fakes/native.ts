/** Whether the optional package of system calls is there, for suites that need it. */
import { findNative } from '../../src/fs/dir/native.ts';
import { silentLog } from '../../src/host/log.ts';

/** Why native system calls cannot be tested here; undefined if they can. */
export const nativeSkipReason = findReason();

/** The title of a suite, which says so if it is skipped. */
export function nativeTitle(title: string): string {
  return nativeSkipReason === undefined ? title : `${title} [skipped: ${nativeSkipReason}]`;
}

function findReason(): string | undefined {
  if (findNative(silentLog) !== undefined) return undefined;
  const reason = process.platform === 'linux' ? 'koffi is not installed' : `no Linux but ${process.platform}`;
  const isRequired = (process.env['VIRTIOFS_REQUIRE'] ?? '').split(',').includes('native');
  if (isRequired) throw new Error(`VIRTIOFS_REQUIRE asks for native, but ${reason}`);
  return reason;
}
