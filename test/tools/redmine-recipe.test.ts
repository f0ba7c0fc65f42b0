// Redmine by its recipe on a real Redmine: the language says all that its built-in target does.

import { afterAll } from 'vitest'
import { recipeTarget } from '../../src/adapters/targets/recipe.ts'
import { shippedRecipes } from '../../src/adapters/targets/shipped-recipes.ts'
import { targetContract } from '../contracts/target.ts'
import { stopAll } from './background.ts'
import { redmineSubject } from './redmine-subject.ts'

afterAll(stopAll)

targetContract('Redmine, by its recipe', () => {
  const recipe = shippedRecipes().get('redmine')
  if (recipe === undefined) throw new Error('no recipe for Redmine is shipped')
  return redmineSubject((config) => recipeTarget({ ...config, recipe, values: {} }))
})
