/** Numbers and strings that must not be mixed carry a brand: a nodeid cannot be passed where an fh is wanted. */

declare const brand: unique symbol;

export type Brand<T, Name extends string> = T & { readonly [brand]: Name };
