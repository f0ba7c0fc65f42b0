// A copy of the product with one small hole, and the attack on it that the suite runs on the real one. Nothing of the
// working tree is touched, and a patch that no longer fits is an error, never a build that is not weakened.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
/** What the attacks need beside `src`. */
const COPIED = [
  'src',
  'scopes',
  'recipes',
  'hallpass',
  'package.json',
  'test/attacks',
  'test/support',
  'test/oauth',
  'test/cli',
  'test/mcp',
  'test/tools',
]
const CONFIG = `export default { test: { testTimeout: 60_000, hookTimeout: 60_000, include: ['test/attacks/*.test.ts'] } }\n`

export type Weakness = {
  /** What the weakened build no longer does. */
  readonly without: string
  readonly file: string
  readonly find: string
  readonly replace: string
  /** The file of the attack in `test/attacks`, and its whole title: `describe > test`. */
  readonly attack: readonly [file: string, title: string]
}

const REPORT = z.object({
  testResults: z.array(
    z.object({
      assertionResults: z.array(
        z.object({ fullName: z.string(), status: z.string(), failureMessages: z.array(z.string()) }),
      ),
    }),
  ),
})

/** What the attack ended with: `defeated` where the weakened build still holds, else the assertion that fell. */
export async function attackWeakened({
  file,
  find,
  replace,
  attack,
}: Weakness): Promise<'defeated' | { fell: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'hallpass-weakened-'))
  try {
    for (const path of COPIED)
      cpSync(join(ROOT, path), join(folder, path), {
        recursive: true,
        filter: (from) => !from.includes('/weakened'),
      })
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
    writeFileSync(join(folder, 'vitest.config.mjs'), CONFIG)
    const sound = readFileSync(join(folder, file), 'utf8')
    if (sound.split(find).length !== 2) throw new Error(`the patch does not fit ${file} exactly once`)
    writeFileSync(
      join(folder, file),
      sound.replace(find, () => replace),
    )
    return await run(folder, attack)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function run(folder: string, [file, title]: Weakness['attack']): Promise<'defeated' | { fell: string }> {
  const report = join(folder, 'report.json')
  const exactly = `^${title.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll(' > ', '( > | )')}$`
  const child = spawn(
    process.execPath,
    [
      join(ROOT, 'node_modules/vitest/vitest.mjs'),
      ...['run', '--root', folder, `test/attacks/${file}`, '-t', exactly],
      ...['--reporter', 'json', '--outputFile', report],
    ],
    { cwd: folder, stdio: 'ignore', env: { ...process.env, VITEST: undefined } },
  )
  await once(child, 'close')
  const results = REPORT.parse(JSON.parse(readFileSync(report, 'utf8'))).testResults.flatMap(
    (of) => of.assertionResults,
  )
  const ran = results.filter(({ status }) => status === 'passed' || status === 'failed')
  const [only] = ran
  if (only === undefined || ran.length > 1) throw new Error(`${ran.length} tests are titled "${title}"`)
  if (only.status === 'passed') return 'defeated'
  const fell = only.failureMessages.join('\n')
  if (!fell.includes('AssertionError')) throw new Error(`the weakened build broke instead: ${fell}`)
  return { fell }
}
