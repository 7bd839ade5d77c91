/** Error names and words against Node's own, and the numbers of mode.ts that Node knows. */
import { constants as fsConstants } from 'node:fs';
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import { describe, expect, test } from 'vitest';
import * as errno from '../../src/wire/errno.ts';
import * as mode from '../../src/wire/mode.ts';

const ours = Object.entries(errno).flatMap(([name, n]) =>
  typeof n === 'number' ? [[name, n as number] as const] : [],
);

describe('errno', () => {
  test.runIf(process.platform === 'linux')('the numbers are those of this Linux', () => {
    const here = new Map<string, number>(Object.entries(constants.errno));
    for (const [name, number] of ours) expect({ [name]: here.get(name) ?? number }).toEqual({ [name]: number });
  });

  test('whatever has a name and is known to Node has Node’s name and words', () => {
    const words = new Map(getSystemErrorMap().values());
    const named = ours.filter(([, n]) => !/^E\d+$/.test(errno.errnoName(n)));
    let compared = 0;
    for (const [, n] of named) {
      const text = words.get(errno.errnoName(n));
      if (text === undefined) continue;
      expect(`${errno.errnoName(n)}: ${errno.errnoText(n)}`).toBe(`${errno.errnoName(n)}: ${text}`);
      compared++;
    }
    expect(compared).toBeGreaterThan(40);
  });

  test('a name is that of the exported constant', () => {
    const byName = new Map(ours);
    for (const [, n] of ours) {
      const name = errno.errnoName(n);
      if (!/^E\d+$/.test(name)) expect(byName.get(name)).toBe(n);
    }
  });

  test('ENOTSUP is EOPNOTSUPP under the name that Node uses', () => {
    expect(errno.ENOTSUP).toBe(errno.EOPNOTSUPP);
    expect(errno.errnoName(95)).toBe('ENOTSUP');
  });

  test('0 and unknown numbers have names, too', () => {
    expect([0, 41, 999].map(errno.errnoName)).toEqual(['OK', 'E41', 'E999']);
    expect(errno.errnoText(999)).toBe('unknown error');
  });
});

describe('mode', () => {
  test.runIf(process.platform === 'linux' && process.arch === 'x64')(
    'modes and open flags are those of this Linux',
    () => {
      let compared = 0;
      for (const [name, number] of Object.entries(mode)) {
        const known = (fsConstants as unknown as Readonly<Record<string, number>>)[name];
        // glibc says 0 where every file may be large.
        if (known === undefined || name === 'O_LARGEFILE') continue;
        expect({ [name]: number }).toEqual({ [name]: known });
        compared++;
      }
      expect(compared).toBeGreaterThan(30);
    },
  );

  test('every type of a mode has its DT_ number and comes back from it', () => {
    const types = [
      [mode.S_IFREG, mode.DT_REG],
      [mode.S_IFDIR, mode.DT_DIR],
      [mode.S_IFLNK, mode.DT_LNK],
      [mode.S_IFIFO, mode.DT_FIFO],
      [mode.S_IFSOCK, mode.DT_SOCK],
      [mode.S_IFCHR, mode.DT_CHR],
      [mode.S_IFBLK, mode.DT_BLK],
    ] as const;
    for (const [bits, type] of types) {
      expect(mode.modeToType(bits | 0o7777)).toBe(type);
      expect(mode.typeToMode(type)).toBe(bits);
    }
  });
});
