"""The bundled encoder's making: `rebus train --recipe`, a teacher's views, a joint space, a student."""
