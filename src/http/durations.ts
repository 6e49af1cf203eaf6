/** How long requests took, by route, as a Prometheus histogram. Counting one is an increment of an array. */

const NAME = 'millrace_http_request_duration_seconds';
const BOUNDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

interface Series {
  readonly labels: string;
  /** Requests up to each bound and above the one before it; the last: above all bounds. */
  readonly counts: Float64Array;
  sum: number;
}

export interface Durations {
  timer(route: string, method: string): (status: number, seconds: number) => void;
  /** The text exposition format. */
  print(): string;
}

const quoted = (text: string): string =>
  text.replace(/[\\"\n]/g, (char) => (char === '\n' ? '\\n' : `\\${char}`));

function printSeries({ labels, counts, sum }: Series): string[] {
  let below = 0;
  const lines = BOUNDS.map((bound, i) => {
    below += counts[i]!;
    return `${NAME}_bucket{le="${bound}",${labels}} ${below}`;
  });
  below += counts[BOUNDS.length]!;
  return [
    ...lines,
    `${NAME}_bucket{le="+Inf",${labels}} ${below}`,
    `${NAME}_sum{${labels}} ${sum}`,
    `${NAME}_count{${labels}} ${below}`,
  ];
}

export function createDurations(): Durations {
  const all: Series[] = [];
  const routes = new Map<string, Map<number, Series>>();
  return {
    timer: (route, method) => {
      const name = `${method} ${route}`;
      const byStatus = routes.get(name) ?? new Map<number, Series>();
      routes.set(name, byStatus);
      return (status, seconds) => {
        let series = byStatus.get(status);
        if (!series) {
          series = {
            labels: `route="${quoted(route)}",method="${method}",status="${status}"`,
            counts: new Float64Array(BOUNDS.length + 1),
            sum: 0,
          };
          byStatus.set(status, series);
          all.push(series);
        }
        let place = 0;
        while (place < BOUNDS.length && seconds > BOUNDS[place]!) place++;
        series.counts[place]!++;
        series.sum += seconds;
      };
    },
    print: () =>
      [
        `# HELP ${NAME} Time from the first byte of a request to the end of its answer`,
        `# TYPE ${NAME} histogram`,
        ...all.flatMap(printSeries),
        '',
      ].join('\n'),
  };
}
