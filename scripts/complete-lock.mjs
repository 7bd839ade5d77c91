// Adds to package-lock.json the optional packages of other platforms that the registry at hand did not serve when the
// lock was written: npm leaves them out then, and `npm ci` refuses such a lock everywhere. They carry no integrity; npm
// checks them against the registry that does serve them. Run after any change of the dependencies.
import { readFileSync, writeFileSync } from 'node:fs';

const file = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(file, 'utf8'));
for (const entry of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (lock.packages[key] !== undefined || !/^\d/.test(version)) continue;
    lock.packages[key] = { version, ...platformOf(name), dev: true, optional: true };
  }
}
const packages = Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1));
writeFileSync(file, `${JSON.stringify({ ...lock, packages: Object.fromEntries(packages) }, null, 2)}\n`);

/** The platform that such a package is for, as its name says: cli-linux-x64-musl, binding-win32-arm64-msvc. */
function platformOf(name) {
  const os = /\b(android|darwin|freebsd|linux|openharmony|win32|wasm32)\b/.exec(name)?.[1];
  const cpu = /\b(arm64|arm|x64|ia32|ppc64|riscv64|s390x|loong64|mips64el)\b/.exec(name)?.[1];
  return { ...(cpu === undefined ? {} : { cpu: [cpu] }), ...(os === undefined ? {} : { os: [os] }) };
}
