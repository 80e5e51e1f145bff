"""Array and tensor types with their shapes.

Axis names in annotations: ``b`` batch, ``c`` channels, ``z`` latent channels, ``d h w`` voxels (depth, height,
width), ``ld lh lw`` the latent grid, ``n`` image tokens, ``m`` text tokens, ``e`` embedding width. The axes' directions
are in ``docs/explanation/conventions.md``.

The tests check the annotations at run time (jaxtyping with beartype); otherwise they cost nothing. Without jaxtyping
they fall back to the bare type, so that networks and flow run from a checkout with torch alone.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Num, Shaped
else:
    try:
        from jaxtyping import Bool, Float, Int, Num, Shaped
    except ModuleNotFoundError:

        class _Unchecked:
            def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
                return item[0]

        Bool = Float = Int = Num = Shaped = _Unchecked

__all__ = ["Bool", "Float", "Int", "Num", "Shaped"]
