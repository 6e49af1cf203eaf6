/** What YAML holds, as plain values. */
export type FormValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly FormValue[]
  | { readonly [key: string]: FormValue };
export type Form = { readonly [key: string]: FormValue };

export const isObject = (value: FormValue | undefined): value is Form =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
