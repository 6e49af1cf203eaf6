// Preloaded (node --import) into a measured Node process: at exit it writes wall and CPU seconds and peak memory.
import { writeFileSync } from 'node:fs';

const began = Number(process.env.BENCH_BEGAN);
process.on('exit', () => {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  writeFileSync(
    process.env.BENCH_USAGE,
    JSON.stringify({
      wall: (Date.now() - began) / 1000,
      cpu: (userCPUTime + systemCPUTime) / 1e6,
      rss: maxRSS * 1024,
    }),
  );
});
