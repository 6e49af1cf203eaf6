/** Puts `sqlite-points.mjs` before SQLite: the methods of its classes cannot be replaced. */
const points = new URL('./sqlite-points.mjs', import.meta.url).href;

export const resolve = (specifier, context, next) =>
  specifier === '@photostructure/sqlite' && context.parentURL !== points
    ? { url: points, shortCircuit: true }
    : next(specifier, context);
