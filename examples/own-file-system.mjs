// A FUSE file system of your own: some files that are only text. `answer` gets a message as the kernel sends it, and
// sends what FUSE wants to hear. serve-own-file-system.mjs shows it to a guest and to the kernel.

const files = { 'hello.txt': 'Hello from sixty lines.\n', 'answer.txt': '42\n' };
const names = Object.keys(files); // names[i] is inode i + 2, the root is 1

const pack = ([size, value]) => {
  const bytes = Buffer.alloc(size);
  if (size === 4) bytes.writeUInt32LE(value);
  if (size === 8) bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const struct = (...fields) => Buffer.concat(fields.map((field) => (Array.isArray(field) ? pack(field) : field)));
const attr = (ino) => {
  const [mode, size] = ino === 1 ? [0o40755, 0] : [0o100444, files[names[ino - 2]].length];
  return struct([8, ino], [8, size], [8, 1], [36, 0], [4, mode], [4, 1], [12, 0], [4, 4096], [4, 0]);
};
const entries = ['.', '..', ...names].map((name, i) => {
  const text = Buffer.from(name.padEnd(Math.ceil(name.length / 8) * 8, '\0'));
  return struct([8, Math.max(1, i)], [8, i + 1], [4, name.length], [4, i < 2 ? 4 : 8], text);
});

const operations = {
  1(_, args) {
    const ino = names.indexOf(args.toString('utf8', 0, args.indexOf(0))) + 2; // LOOKUP
    return ino < 2 ? -2 : struct([8, ino], [8, 0], [8, 1], [8, 1], [8, 0], attr(ino));
  },
  3: (ino) => struct([8, 1], [8, 0], attr(ino)), // GETATTR
  15: (ino, args) =>
    Buffer.from(files[names[ino - 2]])
      .subarray(args.readUInt32LE(8))
      .subarray(0, args.readUInt32LE(16)),
  26: (_, args) => struct([4, 7], [4, 31], [4, args.readUInt32LE(8)], [8, 0], [4, 65536], [4, 1], [36, 0]), // INIT
  28: (_, args) => entries[args.readUInt32LE(8)] ?? struct(), // READDIR, one at a time; 15 is READ
  ...{ 14: () => struct([16, 0]), 18: () => struct(), 27: () => struct([16, 0]), 29: () => struct() }, // open and close
};

export function answer(message, send) {
  const [code, unique, ino] = [message.readUInt32LE(4), message.readBigUInt64LE(8), message.readUInt32LE(16)];
  if (code === 2 || code === 36 || code === 42) return; // FORGET, INTERRUPT, BATCH_FORGET: nobody waits for an answer
  const result = operations[code]?.(ino, message.subarray(40)) ?? -38; // ENOSYS
  const [error, body] = typeof result === 'number' ? [2 ** 32 + result, struct()] : [0, result];
  send(struct([4, 16 + body.length], [4, error], [8, unique], body));
}
