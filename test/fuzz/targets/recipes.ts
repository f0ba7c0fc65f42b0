// Recipes, changed as YAML and as text: what is taken can be read again from what is kept of it, and uses no name that is bound
// nowhere; what is refused says where.

import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { UNPRINTABLE } from '../../../src/core/manifest-faults.ts'
import { parseWritten, recipeOf } from '../../../src/core/recipe-parse.ts'
import { parseRights } from '../../../src/core/recipe-rights.ts'
import { mutateBytes, mutateText } from '../mutate.ts'
import { mustHold, type Target } from '../target.ts'

const SLOW_MS = 5_000

export const recipes: Target = {
  name: 'recipes',
  freshAfter: Number.POSITIVE_INFINITY,
  async open() {
    const folder = fileURLToPath(new URL('../../../recipes', import.meta.url))
    const samples: readonly Uint8Array[] = readdirSync(folder).map((name) => readFileSync(`${folder}/${name}`))
    return {
      feed(random, note) {
        let bytes: Uint8Array = random.pick(samples)
        for (let left = 1 + random.below(3); left > 0; left--) bytes = mutateBytes(random, bytes, samples)
        const right = mutateText(random, 'ops:writer')
        note([Buffer.from(bytes).toString('latin1'), right])
        const from = performance.now()
        const read = parseWritten('sample.recipe.yaml', bytes)
        if (read.ok) {
          const { recipe, written } = read.value
          const again = recipeOf(JSON.parse(JSON.stringify(written)))
          mustHold(
            again.ok && JSON.stringify(again.value) === JSON.stringify(recipe),
            'is read otherwise the next time',
          )
          parseRights(recipe, [right])
        } else {
          mustHold(read.error.length > 0, 'refused without a fault')
          for (const { file, line, column, message } of read.error) {
            mustHold(line > 0 && column > 0, 'a fault is nowhere')
            mustHold(!UNPRINTABLE.test(file + message) && !/[\n\r]/.test(message), 'a fault cannot be printed', message)
          }
        }
        mustHold(performance.now() - from < SLOW_MS, 'took too long')
        return read.ok ? 'taken' : 'refused'
      },
      async close() {},
    }
  },
}
