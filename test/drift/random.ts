import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';

/** Uniform draws in (0, 1) and normal ones from a fixed seed. */
export function drawing(seed: number): { readonly uniform: () => number; readonly normal: () => number } {
  const generator = xoroshiro128plus(seed);
  const uniform = (): number => uniformFloat64(generator) || Number.MIN_VALUE;
  const normal = (): number => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  return { uniform, normal };
}
