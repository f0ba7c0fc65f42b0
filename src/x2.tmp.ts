import { parseManifests, faultLine } from './core/manifest-parse.ts'
import { readdirSync, readFileSync, writeFileSync, statSync } from 'node:fs'
for (const c of readdirSync('test/manifests').sort()) {
const root = `test/manifests/${c}`
const files = new Map(readdirSync(root, { recursive: true }).map(String).filter((f) => statSync(`${root}/${f}`).isFile() && /\.(ya?ml|pem|json)$/.test(f)).map((f) => [f, new Uint8Array(readFileSync(`${root}/${f}`))]))
const r = parseManifests(files, { issuerOrigin: 'http://127.0.0.1:8420', secretsFolder: '/srv/hallpass/secrets', known: null })
const out = r.ok ? 'OK!!!' : r.faults.map(faultLine).join('\n')
console.log(`## ${c}\n${out}`)
if (!r.ok) writeFileSync(`${root}/expected.txt`, `${out}\n`)
}
