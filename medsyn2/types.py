"""Array and tensor types with their shapes.

Axis names, used in every annotation: ``b`` batch, ``c`` channels, ``z`` latent channels, ``d h w`` voxels
(depth, height, width), ``ld lh lw`` the latent grid, ``n`` image tokens, ``m`` text tokens, ``e`` embedding
width. ``docs/explanation/conventions.md`` says which way each axis points.

The annotations are checked at run time in the tests (jaxtyping with beartype) and cost nothing otherwise.
Where jaxtyping is not installed, as on a machine that has torch alone, they fall back to the bare type, so
that the networks and the flow can be used from a bare checkout.
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
