/** Where the host says what went wrong. A function, so that tests collect lines and the command prints them. */

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export type Log = (level: LogLevel, text: string) => void;

export const silentLog: Log = () => {};
