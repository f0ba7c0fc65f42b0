import { parseManifests, faultLine } from './core/manifest-parse.ts'
import { jsonSchemas } from './core/manifest-schema.ts'
import { readdirSync, readFileSync, writeFileSync, statSync } from 'node:fs'
for (const [k, v] of Object.entries(jsonSchemas())) writeFileSync(`scopes/.schema/${k.toLowerCase()}.json`, `${JSON.stringify(v, null, 2)}\n`)
const root = process.argv[2] ?? 'scopes'
const files = new Map(readdirSync(root, { recursive: true }).map(String).filter((f) => statSync(`${root}/${f}`).isFile() && !f.startsWith('.')).map((f) => [f, new Uint8Array(readFileSync(`${root}/${f}`))]))
const t = performance.now()
const r = parseManifests(files, { issuerOrigin: 'http://127.0.0.1:8420', known: null })
console.log(performance.now() - t, 'ms')
if (r.ok) console.dir(r.set, { depth: 6 }); else console.log(r.faults.map(faultLine).join('\n'))
