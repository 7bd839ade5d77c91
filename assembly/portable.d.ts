/** Lets tsc read layout.ts, which both compilers compile. */
declare type i32 = number;
