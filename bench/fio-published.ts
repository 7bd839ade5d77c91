/**
 * MiB/s of cache=none without and with DAX, as published with "[PATCH 00/20] virtiofs: Add DAX support", Vivek Goyal,
 * linux-fsdevel, March 2020: 40 cores, backing on ramfs, 4 files of 8 GB; guest of 64 CPUs, window of 64 GB. 0: a
 * shared mapping was not possible.
 */
export const PUBLISHED: Readonly<Record<string, readonly [none: number, dax: number]>> = {
  'seqread-psync': [35, 643],
  'seqread-psync-multi': [219, 2132],
  'seqread-mmap': [0, 741],
  'seqread-mmap-multi': [0, 2530],
  'seqread-libaio': [293, 425],
  'seqread-libaio-multi': [207, 1543],
  'randread-psync': [36, 572],
  'randread-psync-multi': [211, 1764],
  'randread-mmap': [0, 719],
  'randread-mmap-multi': [0, 2005],
  'randread-libaio': [300, 413],
  'randread-libaio-multi': [327, 1326],
  'seqwrite-psync': [34, 494],
  'seqwrite-psync-multi': [223, 1680],
  'seqwrite-mmap': [0, 1217],
  'seqwrite-mmap-multi': [0, 2359],
  'seqwrite-libaio': [282, 348],
  'seqwrite-libaio-multi': [320, 1255],
  'randwrite-psync': [32, 458],
  'randwrite-psync-multi': [213, 1343],
  'randwrite-mmap': [0, 663],
  'randwrite-mmap-multi': [0, 1820],
  'randwrite-libaio': [292, 341],
  'randwrite-libaio-multi': [322, 1094],
};
