// The recipes that come with Hallpass, read from its own folder, and nothing else's.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Recipe } from '../../core/recipe.ts'
import { parseRecipe } from '../../core/recipe-parse.ts'

/** As far from here in the sources as in what is built of them. */
const FOLDER = fileURLToPath(new URL('../../../recipes', import.meta.url))

let shipped: ReadonlyMap<string, Recipe> | null = null

/** By name. Throws where one has a fault: they are the program's own. */
export function shippedRecipes(): ReadonlyMap<string, Recipe> {
  shipped ??= readFolder(FOLDER)
  return shipped
}

function readFolder(folder: string): ReadonlyMap<string, Recipe> {
  const files = readdirSync(folder).filter((file) => file.endsWith('.yaml'))
  return new Map(
    files.sort().map((file) => {
      const read = parseRecipe(file, readFileSync(join(folder, file)))
      if (read.ok && `${read.value.recipe}.yaml` === file) return [read.value.recipe, read.value]
      const faults = read.ok ? [] : read.error
      const said = faults.map(({ line, column, message }) => `${file}:${line}:${column} ${message}`)
      throw new Error(`a recipe that is shipped has faults:\n${said.join('\n') || `${file} has another name inside`}`)
    }),
  )
}
