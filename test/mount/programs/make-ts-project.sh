# Makes a TypeScript project in the working directory: 60 modules that import each other; prints a number when run.
#     make-ts-project.sh NODE_MODULES    the folder that typescript and @types/node are copied from
set -e
mkdir -p node_modules/@types src
cp -a "$1/typescript" "$1/@typescript" "$1/undici-types" node_modules/
cp -a "$1/@types/node" node_modules/@types/
for i in $(seq 60); do
  { [ "$i" -gt 1 ] && echo "import { value$((i - 1)) } from './m$((i - 1)).js'"
    echo "export interface Shape$i<T> { readonly kind: 'k$i'; items: Map<string, T[]> }"
    echo "export const value$i: number = $i + $([ "$i" -gt 1 ] && echo "value$((i - 1))" || echo 0)"; } > src/m$i.ts
done
{ echo "import { createHash } from 'node:crypto'"; echo "import { value60 } from './m60.js'"
  echo "console.log(value60, createHash('sha256').update(String(value60)).digest('hex').slice(0, 8))"; } > src/main.ts
echo '{"type":"module"}' > package.json
cat > tsconfig.json <<'J'
{ "compilerOptions": { "target": "ES2023", "module": "NodeNext", "types": ["node"], "strict": true, "outDir": "out",
  "rootDir": "src", "declaration": true, "incremental": true, "tsBuildInfoFile": "out/.tsbuildinfo" }, "include": ["src"] }
J
