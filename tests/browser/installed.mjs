// Exits 0 when every package of package.json is installed in exactly the pinned version.
import { readFileSync } from "node:fs";

const here = new URL("./", import.meta.url);
const { dependencies } = JSON.parse(readFileSync(new URL("package.json", here), "utf8"));

const isInstalled = ([name, version]) => {
  try {
    return JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, here), "utf8")).version === version;
  } catch {
    return false;
  }
};

process.exit(Object.entries(dependencies).every(isInstalled) ? 0 : 1);
