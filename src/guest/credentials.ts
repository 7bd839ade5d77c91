/** On whose behalf requests are sent. One object per process; the session points at the current one. */
export interface Credentials {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups?: readonly number[];
  readonly pid: number;
  /** Bits taken away from the mode of everything that is created. */
  readonly umask: number;
}
