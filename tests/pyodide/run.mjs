// Runs a Python file in Pyodide: node run.mjs PYODIDE_FOLDER REPOSITORY FILE. The repository is /repo there.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, repository, file] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(`${folder}/pyodide.mjs`));
const python = await loadPyodide();
python.FS.mkdirTree("/repo");
python.FS.mount(python.FS.filesystems.NODEFS, { root: repository }, "/repo");
try {
  await python.runPythonAsync(readFileSync(file, "utf8"));
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
process.exit(0); // timers of a cluster that was closed may still be armed
