/** Python that comes with the package and goes beside models that Python loads. */
import { fileURLToPath } from 'node:url';

export type PythonFile = 'millrace_pyfunc.py' | 'score_mlflow.py';

export const pythonFile = (name: PythonFile): string =>
  fileURLToPath(new URL(`../../python/${name}`, import.meta.url));
