// GitHub App installation tokens by their recipe, against the operations that it needs, written by hand: `test:tools` has the
// same against the whole published description.

import { describeGithubApp } from '../../support/github-app-recipe.ts'

describeGithubApp('by operations written by hand')
