import numpy as np

from kithkin.models.deep.picture import draw_embedding


def test_rows_are_drawn_where_they_lie_in_the_colours_of_their_labels():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 50)
    picture = draw_embedding(rng.normal(0, 0.1, (100, 3)) + 5 * np.eye(2, 3)[labels], labels)
    assert (picture.shape, picture.dtype) == ((480, 480, 3), np.uint8)
    colors, counts = np.unique(picture.reshape(-1, 3), axis=0, return_counts=True)
    assert len(colors) == 3, "two clusters on white"
    assert counts.max() > 0.9 * picture.size / 3
    drawn = [np.nonzero((picture == color).all(2))[1] for color in colors[:-1]]
    assert drawn[0].max() < drawn[1].min() or drawn[1].max() < drawn[0].min()


def test_one_row_and_one_dimension_can_be_drawn():
    for shape in ((1, 4), (5, 1)):
        picture = draw_embedding(np.zeros(shape, np.float32), np.zeros(shape[0], int))
        assert (picture != 255).any()
