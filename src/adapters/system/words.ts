// 256 clear English words, so that one random byte picks one. People read them to each other to see that they look at
// the same request: no two may be taken for one another aloud.

export const WORDS: readonly string[] = `
acorn actor alley amber angel ankle apple april arrow atlas bacon badge baker basil beach beard berry birch
blade blaze bonus bread brick brook brush cabin cable camel candy canoe cargo cedar chalk charm cherry chess
chief cider clock cloud clover coast cobra comet coral couch crane crown daisy dance delta denim desk diary
dingo disco dolphin donkey dragon dream drum eagle earth easel echo elbow elder elk ember engine fable
falcon fern ferry fiddle finch flame flute forest fossil fox frost fruit galaxy garden garlic gecko ghost
giant ginger giraffe globe glove goat grape gravel guitar hammer harbor hazel hedge helmet heron hill honey
hotel husky igloo indigo island ivory jacket jaguar jelly jewel jungle kayak kettle kiosk kite kiwi koala
ladder lagoon lamp laser lava lemon lentil lily lime linen lion lizard llama lobster lotus lunar magnet
mango maple marble meadow melon metal mint mirror moose mosaic motor mouse museum nectar needle nickel
noodle nugget oasis ocean olive onion opal orange orbit orchid otter oven oyster paddle palace panda paper
parrot peach pearl pebble pencil penguin pepper piano pickle pigeon pilot pine planet plum pocket polar pony
poppy potato prism puzzle quartz quilt rabbit radar radio raven ribbon river robin rocket saddle saffron
salad salmon satin scarf shadow shell silver sketch spider spoon spruce squid statue studio sugar summer
sunset swan tango teapot temple tennis thunder tiger timber toast tomato topaz tractor tulip tunnel turtle
umbrella uncle valley vanilla velvet violin vortex wagon walnut walrus water whale willow window winter
wizard yellow zebra zephyr
`
  .trim()
  .split(/\s+/)
