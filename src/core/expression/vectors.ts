/** Functions of two vectors, summed from left to right; null where the lengths differ or nothing finite comes out. */
const finite = (x: number): number | null => (x - x === 0 ? x + 0 : null);

export function dotProduct(a: readonly number[], b: readonly number[]): number | null {
  if (a.length !== b.length) return null;
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return finite(sum);
}
export function euclideanDistance(a: readonly number[], b: readonly number[]): number | null {
  if (a.length !== b.length) return null;
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) * (a[i]! - b[i]!);
  return finite(Math.sqrt(sum));
}
export function cosineSimilarity(a: readonly number[], b: readonly number[]): number | null {
  if (a.length !== b.length) return null;
  let dot = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!;
    aa += a[i]! * a[i]!;
    bb += b[i]! * b[i]!;
  }
  return finite(dot / (Math.sqrt(aa) * Math.sqrt(bb)));
}
